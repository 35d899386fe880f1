package compliance

import (
	"crypto/rsa"
	"fmt"
	"slices"

	"github.com/maildomain/maildomain-operator/mailauth/dkim"
)

// dkimKeys wants at every selector in use a key that receivers accept, and that is long enough; perhaps
// an RSA key among them.
func dkimKeys(f Facts, want Want) finding {
	selectors, known := f.Selectors.Get()
	if !known {
		return unseen(f.Selectors.Cause())
	}
	if len(selectors) == 0 {
		return fail("no selector is in use: nothing signs")
	}
	var found []finding
	ignored := want.RSA // all of the keys, by many receivers
	for _, s := range selectors {
		one := s.key(want.Bits)
		ignored = ignored && one.outcome == Pass && !s.isRSA()
		one.seen = s.Name + ": " + one.seen
		found = append(found, one)
	}
	if ignored {
		return fail("no rsa key, and many receivers ignore others")
	}
	return all(found...)
}

func (s Selector) key(bits int) finding {
	texts, known := s.Texts.Get()
	if !known {
		return unseen(s.Texts.Cause())
	}
	switch {
	case len(texts) == 0:
		return fail("no key record")
	case len(texts) > 1:
		return fail(fmt.Sprintf("%d texts: which one receivers take is undefined", len(texts)))
	}
	record, err := dkim.Parse(texts[0])
	switch {
	case err != nil:
		return fail(err.Error())
	case record.Revoked():
		return fail("the key is revoked")
	case slices.Contains(record.Flags, "y"):
		return fail("t=y: receivers are told that DKIM is only tested")
	case len(record.Hashes) > 0 && !slices.Contains(record.Hashes, "sha256"):
		return fail("h does not allow sha256")
	case len(record.Services) > 0 && !slices.Contains(record.Services, "*") && !slices.Contains(record.Services, "email"):
		return fail("s keeps receivers of e-mail from using the key")
	}
	public, err := record.Public()
	if err != nil {
		return fail(err.Error())
	}
	key, isRSA := public.(*rsa.PublicKey)
	if !isRSA {
		return pass(record.KeyType)
	}
	n := key.N.BitLen()
	if n < bits {
		return fail(fmt.Sprintf("rsa with %d bits, want %d or more", n, bits))
	}
	return pass(fmt.Sprintf("rsa with %d bits", n))
}

// isRSA holds for a selector that is known to have one key, of RSA.
func (s Selector) isRSA() bool {
	texts, _ := s.Texts.Get()
	if len(texts) != 1 {
		return false
	}
	record, err := dkim.Parse(texts[0])
	if err != nil {
		return false
	}
	public, _ := record.Public()
	_, is := public.(*rsa.PublicKey)
	return is
}

// dkimParent wants that DNS does not deny _domainkey, below which keys stand.
func dkimParent(f Facts, _ Want) finding {
	exists, known := f.KeysBelow.Get()
	switch {
	case !known:
		return unseen(f.KeysBelow.Cause())
	case !exists:
		return fail("_domainkey gets NXDOMAIN: no key stands below")
	}
	return pass("_domainkey does not get NXDOMAIN")
}

// dkimNull wants a revoked key at every selector: *._domainkey.
func dkimNull(f Facts, _ Want) finding {
	texts, known := f.NullKey.Get()
	if !known {
		return unseen(f.NullKey.Cause())
	}
	if len(texts) != 1 {
		return fail(fmt.Sprintf("%d texts at *._domainkey, want one", len(texts)))
	}
	record, err := dkim.Parse(texts[0])
	if err != nil {
		return fail("*._domainkey: " + err.Error())
	}
	if !record.Revoked() {
		return fail("*._domainkey holds a key, want v=DKIM1; p=")
	}
	return pass("*._domainkey revokes every selector")
}
