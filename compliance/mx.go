package compliance

import "fmt"

// mxHosts has each MX host judged.
func mxHosts(f Facts, judge func(Host) finding) finding {
	mx, known := f.MX.Get()
	switch {
	case !known:
		return unseen(f.MX.Cause())
	case mx.Null:
		return finding{NotApplicable, "a null MX: the domain takes no mail"}
	case len(mx.Hosts) == 0:
		return finding{NotApplicable, "no MX record and no address: the domain takes no mail"}
	}
	var found []finding
	for _, host := range mx.Hosts {
		one := judge(host)
		one.seen = host.Name + ": " + one.seen
		found = append(found, one)
	}
	return all(found...)
}

// mxNull wants the statement that the domain takes no mail (RFC 7505).
func mxNull(f Facts, _ Want) finding {
	mx, known := f.MX.Get()
	switch {
	case !known:
		return unseen(f.MX.Cause())
	case mx.Null && len(mx.Hosts) == 0:
		return pass("a null MX")
	case len(mx.Hosts) > 0:
		return fail(fmt.Sprintf("mail is delivered to %s", mx.Hosts[0].Name))
	}
	return fail("no null MX")
}

// mxSTARTTLS wants TLS at each MX host.
func mxSTARTTLS(f Facts, want Want) finding {
	return mxHosts(f, func(h Host) finding {
		tls, known := h.TLS.Get()
		switch {
		case !known:
			return unseen(h.TLS.Cause())
		case tls.OK:
			return pass("TLS, with a certificate for the name")
		case tls.Offered && !want.Certificate:
			return pass("TLS, but " + tls.Failure)
		}
		return fail(tls.Failure)
	})
}

// mxIPv6 wants an AAAA record of each MX host.
func mxIPv6(f Facts, _ Want) finding {
	return mxHosts(f, func(h Host) finding {
		has, known := h.IPv6.Get()
		switch {
		case !known:
			return unseen(h.IPv6.Cause())
		case !has:
			return fail("no IPv6 address")
		}
		return pass("an IPv6 address")
	})
}
