package dmarc

// Strictness returns how strict the policies are that apply to the domain, to its subdomains
// and to names below it that do not exist: 0 none, 1 quarantine, 2 reject. The tag t takes one
// step off each (RFC 9989 §4.7).
func (r Record) Strictness() [3]int {
	strictness := r.asWritten()
	if r.Testing != nil && *r.Testing {
		for i := range strictness {
			strictness[i] = max(strictness[i]-1, 0)
		}
	}
	return strictness
}

// asWritten is Strictness for receivers of before RFC 9989, who do not know t.
func (r Record) asWritten() [3]int {
	p, sp, np := r.policies()
	return [3]int{steps(p), steps(sp), steps(np)}
}

func steps(p Policy) int {
	switch p {
	case Reject:
		return 2
	case Quarantine:
		return 1
	}
	return 0
}

// Stricter reports whether a can make a receiver treat any mail worse than b does, be it one that
// follows RFC 9989, which knows t and no pct, or one that follows RFC 7489, which knows pct and
// no t. It is so by a stricter policy for some name; and, where a asks for a policy at all, by
// strict alignment in place of relaxed, and by another psd, which can give names another
// organizational domain, so that what was aligned is no longer (RFC 9989 §4.10.2).
func Stricter(a, b Record) bool {
	x, y := a.Strictness(), b.Strictness()
	oldX, oldY := a.asWritten(), b.asWritten()
	for i := range x {
		if x[i] > y[i] {
			return true
		}
		suspected, refused := a.shares(oldX[i])
		suspectedBefore, refusedBefore := b.shares(oldY[i])
		if suspected > suspectedBefore || refused > refusedBefore {
			return true
		}
	}
	enforced := oldX != [3]int{}
	return enforced && (a.DKIMAlignment == "s" && b.DKIMAlignment != "s" || a.SPFAlignment == "s" && b.SPFAlignment != "s" ||
		or(a.PSD, "u") != or(b.PSD, "u"))
}

// shares is how many of a hundred failing messages a receiver that knows pct treats with
// quarantine at least, and with reject: of the others each gets a step less (RFC 7489 §6.6.4).
func (r Record) shares(strictness int) (suspected, refused int) {
	pct := 100
	if r.Pct != nil {
		pct = *r.Pct
	}
	switch strictness {
	case 2:
		return 100, pct
	case 1:
		return pct, 0
	}
	return 0, 0
}
