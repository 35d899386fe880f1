package route53

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AssumeRole is the action of AWS STS (version 2011-06-15) that the server knows, at the root of its
// URL.
const AssumeRole = "AssumeRole"

const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

// Role is a role of IAM and its trust policy.
type Role struct {
	Trusts     []string // access key ids that may assume it
	ExternalID string   // that the trust policy demands; "": none
	MaxSession time.Duration
}

// Assumption is what one AssumeRole asked for.
type Assumption struct {
	AccessKeyID, RoleARN, SessionName, ExternalID string
	Duration                                      time.Duration
}

// session is what a role gives: keys for a time, and a token that has to come with them.
type session struct {
	secret, token string
	expires       time.Time
}

// SetRole makes a role, or changes its trust policy. Sessions that it gave go on.
func (s *Server) SetRole(arn string, role Role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[arn] = role
}

// Assumptions returns what was asked for by signed requests, granted or not.
func (s *Server) Assumptions() []Assumption {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.assumptions)
}

// EndSessions ends all sessions before their time.
func (s *Server) EndSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, session := range s.sessions {
		session.expires = time.Time{}
	}
}

// LastFor has sessions end so long after they were given, whatever was asked for; 0: as asked for.
func (s *Server) LastFor(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lasting = d
}

// What STS takes (AWS STS API Reference, AssumeRole).
var (
	roleForm       = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]+$`)
	nameForm       = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	externalIDForm = regexp.MustCompile(`^[\w+=,.@:/-]{2,1000}$`)
	parameters     = []string{"Action", "Version", "RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId"}
)

const (
	shortestSession = 15 * time.Minute
	defaultSession  = time.Hour
)

func invalidParameter(message string) apiError {
	return apiError{status: http.StatusBadRequest, code: "ValidationError", message: message}
}

// assumeRole answers AssumeRole of an identity.
func (s *Server) assumeRole(accessKeyID string, body []byte) any {
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("Action") != AssumeRole || form.Get("Version") != "2011-06-15" {
		return apiError{status: http.StatusBadRequest, code: "InvalidAction", message: "Could not find operation"}
	}
	for name := range maps.Keys(form) {
		if !slices.Contains(parameters, name) {
			return invalidParameter("unexpected parameter " + name)
		}
	}
	a := Assumption{AccessKeyID: accessKeyID, RoleARN: form.Get("RoleArn"), SessionName: form.Get("RoleSessionName"), ExternalID: form.Get("ExternalId"), Duration: defaultSession}
	if form.Has("DurationSeconds") {
		seconds, err := strconv.Atoi(form.Get("DurationSeconds"))
		if err != nil {
			return invalidParameter("DurationSeconds is not a number")
		}
		a.Duration = time.Duration(seconds) * time.Second
	}
	switch {
	case !roleForm.MatchString(a.RoleARN):
		return invalidParameter(a.RoleARN + " is invalid")
	case !nameForm.MatchString(a.SessionName):
		return invalidParameter("RoleSessionName failed to satisfy constraint")
	case form.Has("ExternalId") && !externalIDForm.MatchString(a.ExternalID):
		return invalidParameter("ExternalId failed to satisfy constraint")
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.assumptions = append(s.assumptions, a)
	role, known := s.roles[a.RoleARN]
	if !known || !slices.Contains(role.Trusts, accessKeyID) || role.ExternalID != "" && role.ExternalID != a.ExternalID {
		return apiError{status: http.StatusForbidden, code: "AccessDenied", message: "User " + accessKeyID + " is not authorized to perform: sts:AssumeRole on resource: " + a.RoleARN}
	}
	if longest := max(role.MaxSession, defaultSession); a.Duration < shortestSession || a.Duration > longest {
		return invalidParameter("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	lasting := a.Duration
	if s.lasting != 0 {
		lasting = s.lasting
	}
	n := len(s.sessions) + 1
	given := &session{secret: fmt.Sprintf("secret/of+session%d", n), token: fmt.Sprintf("token/of+session%d==", n), expires: time.Now().Add(lasting).UTC().Truncate(time.Second)}
	id := fmt.Sprintf("ASIASESSION%d", n)
	s.sessions[id] = given
	answer := assumeAnswer{RequestID: requestID}
	answer.User.ID = "AROAROLE:" + a.SessionName
	answer.User.ARN = strings.Replace(strings.Replace(a.RoleARN, ":iam:", ":sts:", 1), ":role/", ":assumed-role/", 1) + "/" + a.SessionName
	answer.Credentials.AccessKeyID, answer.Credentials.Secret, answer.Credentials.Token = id, given.secret, given.token
	answer.Credentials.Expiration = given.expires.Format(time.RFC3339)
	return answer
}

type assumeAnswer struct {
	XMLName xml.Name `xml:"AssumeRoleResponse"`
	User    struct {
		ID  string `xml:"AssumedRoleId"`
		ARN string `xml:"Arn"`
	} `xml:"AssumeRoleResult>AssumedRoleUser"`
	Credentials struct {
		AccessKeyID string `xml:"AccessKeyId"`
		Secret      string `xml:"SecretAccessKey"`
		Token       string `xml:"SessionToken"`
		Expiration  string
	} `xml:"AssumeRoleResult>Credentials"`
	RequestID string `xml:"ResponseMetadata>RequestId"`
}
