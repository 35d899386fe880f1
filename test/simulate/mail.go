package simulate

import (
	"slices"
	"time"
)

// mail is what is under way. At every step each signer signs a message; of all those that one key
// signed the last one is under way for the longest, so that one is remembered. A sample is followed to its
// receiver.
type mail struct {
	signed []*signed
	real   realMail
}

// signed is the mail with signatures of one key.
type signed struct {
	selector string
	name     string // of its record
	private  string
	record   string
	first    time.Time
	last     time.Time
}

// underWay reports whether any message may still arrive.
func (s *signed) underWay(now time.Time) bool { return now.Before(s.last.Add(queueLife)) }

// signAll has every signer sign a message.
func (w *World) signAll() {
	for _, s := range w.signers {
		switch {
		case s.volume != nil:
			w.sign(s)
		case w.legacy != "":
			w.signBefore()
		}
	}
}

// sign returns the keys that signed, or nil if the message is deferred for want of a file.
func (w *World) sign(s *signer) (by []*signed) {
	selectors, files := s.tables()
	for _, selector := range selectors {
		private := files.private[selector]
		if w.keys.records[private] == "" { // it is not there, or no key
			w.deferred(s, selector)
			return nil
		}
		if s.apart {
			w.watch.signedApart(w, s, selector, w.keys.records[private])
			continue
		}
		by = append(by, w.mail.note(w, selector, private))
	}
	w.Counts.Signed++
	return by
}

// note notes that the key has signed a message now.
func (m *mail) note(w *World, selector, private string) *signed {
	i := slices.IndexFunc(m.signed, func(s *signed) bool { return s.selector == selector && s.private == private })
	if i < 0 {
		i = len(m.signed)
		m.signed = append(m.signed, &signed{selector: selector, name: nameOf(selector), private: private, record: w.keys.records[private], first: w.now})
		w.tell("mail", "%s signs for the first time", selector)
		w.watch.first(w, m.signed[i])
	}
	m.signed[i].last = w.now
	return m.signed[i]
}

func (w *World) deferred(s *signer, selector string) {
	if s.apart {
		w.Counts.ApartDeferred++
		return
	}
	w.Counts.Deferred++
	w.watch.deferred(w, s, selector)
}

// post follows one message of each signer to a receiver.
func (w *World) post() {
	for _, s := range w.signers {
		if s.volume == nil || s.apart {
			continue
		}
		by := w.sign(s)
		if by == nil {
			continue
		}
		message := w.mail.real.sign(w, by)
		to := w.receivers[w.rng.IntN(len(w.receivers))]
		sent := w.now
		w.in(w.uniform(0, queueLife), func() { w.deliver(message, by, to, sent) })
	}
}

// posts has mail followed all the time.
func (w *World) posts() {
	w.post()
	w.in(w.between(time.Hour, 16*time.Hour), w.posts)
}

// deliver verifies a message on arrival. Without an answer from DNS it is tried again.
func (w *World) deliver(message []byte, by []*signed, to *receiver, sent time.Time) {
	for _, s := range by {
		if w.watch.compromised[s.selector] {
			continue
		}
		values, ok := to.lookup(w, s.name)
		switch {
		case !ok && w.now.Before(sent.Add(queueLife-time.Hour)):
			w.in(30*time.Minute, func() { w.deliver(message, by, to, sent) })
			return
		case !ok:
			return // DNS was down for as long as the message was kept
		case len(values) != 1 || values[0] != s.record:
			w.violated("a message of %s, signed with %s, does not verify at %s: it finds %s", stamp(sent), s.selector, to.name, brief(values))
		}
	}
	w.Counts.Delivered++
	if message != nil {
		w.mail.real.verify(w, message, by, to)
	}
}

func stamp(t time.Time) string {
	since := t.Sub(epoch)
	return since.String() + " after the beginning"
}
