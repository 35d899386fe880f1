package route53

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxSkew is how far a signature's time may be from ours (IAM User Guide, "Signature Version 4").
const maxSkew = 15 * time.Minute

func forbidden(code, message string) *apiError {
	return &apiError{status: http.StatusForbidden, code: code, message: message}
}

// authenticate checks the signature for a service (IAM User Guide, "Create a signed AWS API
// request"), and returns the access key id of who signed.
func (s *Server) authenticate(r *http.Request, body []byte, service string) (accessKeyID string, refused *apiError) {
	header, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return "", forbidden("MissingAuthenticationToken", "Missing Authentication Token")
	}
	fields := map[string]string{}
	for field := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	signed := strings.Split(fields["SignedHeaders"], ";")
	if len(scope) != 5 || fields["Signature"] == "" || !slices.Contains(signed, "host") || !slices.Contains(signed, "x-amz-date") {
		return "", forbidden("IncompleteSignature", "Authorization header requires Credential, SignedHeaders and Signature")
	}
	secret, refused := s.secretOf(scope[0], r.Header.Get("X-Amz-Security-Token"), slices.Contains(signed, "x-amz-security-token"))
	if refused != nil {
		return "", refused
	}
	date := r.Header.Get("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", date)
	if err != nil || time.Since(at).Abs() > maxSkew {
		return "", forbidden("SignatureDoesNotMatch", "Signature expired or not yet valid")
	}
	if scope[1] != date[:8] || scope[2] != s.cfg.Region || scope[3] != service || scope[4] != "aws4_request" {
		return "", forbidden("SignatureDoesNotMatch", "Credential should be scoped to a valid region and service")
	}
	if !hmac.Equal([]byte(fields["Signature"]), []byte(sign(r, body, secret, scope, signed, date))) {
		return "", forbidden("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.")
	}
	return scope[0], nil
}

// secretOf returns what an access key id signs with. That of a session needs the session's token,
// signed too.
func (s *Server) secretOf(accessKeyID, token string, signed bool) (secret string, refused *apiError) {
	if secret, known := s.cfg.Keys[accessKeyID]; known {
		return secret, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	session := s.sessions[accessKeyID]
	switch {
	case session == nil || token != session.token || !signed:
		return "", forbidden("InvalidClientTokenId", "The security token included in the request is invalid.")
	case !time.Now().Before(session.expires):
		return "", forbidden("ExpiredToken", "The security token included in the request is expired")
	}
	return session.secret, nil
}

func sign(r *http.Request, body []byte, secret string, scope, signed []string, date string) string {
	var headers strings.Builder
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = r.Header.Get("Content-Length")
			if value == "" {
				value = itoa(r.ContentLength)
			}
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	// The path is encoded twice by all services but S3.
	path := strings.ReplaceAll(url.PathEscape(r.URL.EscapedPath()), "%2F", "/")
	query := strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20") // sorted by name
	hash := func(data string) string { sum := sha256.Sum256([]byte(data)); return hex.EncodeToString(sum[:]) }
	canonical := strings.Join([]string{r.Method, path, query, headers.String(), strings.Join(signed, ";"), hash(string(body))}, "\n")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", date, strings.Join(scope[1:], "/"), hash(canonical)}, "\n")

	key := []byte("AWS4" + secret)
	for _, part := range append(slices.Clone(scope[1:]), toSign) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}
