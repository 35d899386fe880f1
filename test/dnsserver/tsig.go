package dnsserver

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/miekg/dns"
)

// keyring holds the secrets of the TSIG keys by canonical name. It is a dns.TsigProvider that,
// unlike the one in miekg/dns, knows a key by any spelling of its name.
type keyring map[string][]byte

func newKeyring(keys map[string]string) (keyring, error) {
	ring := make(keyring, len(keys))
	for name, secret := range keys {
		octets, err := base64.StdEncoding.DecodeString(secret)
		if err != nil {
			return nil, fmt.Errorf("dnsserver: key %s: the secret is not base64", name)
		}
		ring[dns.CanonicalName(name)] = octets
	}
	return ring, nil
}

// Generate signs (RFC 8945 §4.3).
func (k keyring) Generate(msg []byte, t *dns.TSIG) ([]byte, error) {
	secret, ok := k[dns.CanonicalName(t.Hdr.Name)]
	if !ok {
		return nil, dns.ErrSecret
	}
	var newHash func() hash.Hash
	switch dns.CanonicalName(t.Algorithm) {
	case dns.HmacSHA1:
		newHash = sha1.New
	case dns.HmacSHA224:
		newHash = sha256.New224
	case dns.HmacSHA256:
		newHash = sha256.New
	case dns.HmacSHA384:
		newHash = sha512.New384
	case dns.HmacSHA512:
		newHash = sha512.New
	default:
		return nil, dns.ErrKeyAlg
	}
	mac := hmac.New(newHash, secret)
	mac.Write(msg)
	return mac.Sum(nil), nil
}

// Verify verifies.
func (k keyring) Verify(msg []byte, t *dns.TSIG) error {
	want, err := k.Generate(msg, t)
	if err != nil {
		return err
	}
	if got, err := hex.DecodeString(t.MAC); err != nil || !hmac.Equal(got, want) {
		return dns.ErrSig
	}
	return nil
}

// tsigError returns the TSIG error code for what a signature's verification gave (RFC 8945 §5.2).
func tsigError(status error) uint16 {
	switch {
	case status == nil:
		return dns.RcodeSuccess
	case errors.Is(status, dns.ErrSecret), errors.Is(status, dns.ErrKeyAlg):
		return dns.RcodeBadKey
	case errors.Is(status, dns.ErrTime):
		return dns.RcodeBadTime
	default:
		return dns.RcodeBadSig
	}
}

// sign has miekg/dns sign the reply as it sends it; with BADKEY or BADSIG it stays unsigned
// (§5.3.2), and BADTIME carries both clocks (§5.2.3).
func sign(reply *dns.Msg, request *dns.TSIG, code uint16) {
	reply.SetTsig(request.Hdr.Name, request.Algorithm, 300, 0)
	signature := reply.IsTsig()
	signature.Error = code
	if code == dns.RcodeBadTime {
		now := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()))[2:]
		signature.TimeSigned = request.TimeSigned
		signature.OtherLen, signature.OtherData = uint16(len(now)), hex.EncodeToString(now)
	}
}
