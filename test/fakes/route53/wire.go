package route53

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const namespace = "https://route53.amazonaws.com/doc/2013-04-01/"

// Set is a resource record set: an RRset, or one of several for a name and type that are told apart
// by SetIdentifier and chosen from by a routing policy.
type Set struct {
	Name          string
	Type          string
	SetIdentifier string `xml:",omitempty"`
	Weight        *int64
	Region        string `xml:",omitempty"`
	Failover      string `xml:",omitempty"`
	MultiValue    *bool  `xml:"MultiValueAnswer"`
	TTL           *int64 // seconds; not with an alias
	Values        Values `xml:"ResourceRecords"`
	Alias         *Alias `xml:"AliasTarget"`
	HealthCheckID string `xml:"HealthCheckId,omitempty"`
}

// Values are the values of a set, as they are written on the wire.
type Values []string

type resourceRecords struct {
	Records []resourceRecord `xml:"ResourceRecord"`
}

type resourceRecord struct{ Value string }

// MarshalXML leaves an empty list out.
func (v Values) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	if len(v) == 0 {
		return nil
	}
	var out resourceRecords
	for _, value := range v {
		out.Records = append(out.Records, resourceRecord{value})
	}
	return e.EncodeElement(out, start)
}

// UnmarshalXML reads the list.
func (v *Values) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	var in resourceRecords
	if err := d.DecodeElement(&in, &start); err != nil {
		return err
	}
	for _, r := range in.Records {
		*v = append(*v, r.Value)
	}
	return nil
}

// Alias points to an AWS resource, or to another record set of the zone.
type Alias struct {
	HostedZoneID         string `xml:"HostedZoneId"`
	DNSName              string
	EvaluateTargetHealth bool
}

type hostedZone struct {
	ID              string `xml:"Id"`
	Name            string
	CallerReference string
	Config          struct{ PrivateZone bool }
	Count           int `xml:"ResourceRecordSetCount"`
}

type zonesAnswer struct {
	XMLName     xml.Name     `xml:"ListHostedZonesByNameResponse"`
	Zones       []hostedZone `xml:"HostedZones>HostedZone"`
	DNSName     string       `xml:",omitempty"`
	ZoneID      string       `xml:"HostedZoneId,omitempty"`
	IsTruncated bool
	NextDNSName string `xml:",omitempty"`
	NextZoneID  string `xml:"NextHostedZoneId,omitempty"`
	MaxItems    int
}

type zoneAnswer struct {
	XMLName xml.Name   `xml:"GetHostedZoneResponse"`
	Zone    hostedZone `xml:"HostedZone"`
}

// sets is an element also when it is empty.
type sets struct {
	Sets []Set `xml:"ResourceRecordSet"`
}

type setsAnswer struct {
	XMLName              xml.Name `xml:"ListResourceRecordSetsResponse"`
	Sets                 sets     `xml:"ResourceRecordSets"`
	IsTruncated          bool
	NextRecordName       string `xml:",omitempty"`
	NextRecordType       string `xml:",omitempty"`
	NextRecordIdentifier string `xml:",omitempty"`
	MaxItems             int
}

type changeInfo struct {
	ID          string `xml:"Id"`
	Status      string
	SubmittedAt string
}

type changeAnswer struct {
	XMLName xml.Name
	Info    changeInfo `xml:"ChangeInfo"`
}

type changeRequest struct {
	XMLName xml.Name `xml:"https://route53.amazonaws.com/doc/2013-04-01/ ChangeResourceRecordSetsRequest"`
	Changes []struct {
		Action string
		Set    Set `xml:"ResourceRecordSet"`
	} `xml:"ChangeBatch>Changes>Change"`
}

// apiError is an answer that says no.
type apiError struct {
	status   int
	code     string
	message  string
	messages []string // of an InvalidChangeBatch
	short    bool
}

var throttling = apiError{status: http.StatusBadRequest, code: "Throttling", message: "Rate exceeded"}

func invalidInput(message string) apiError {
	return apiError{status: http.StatusBadRequest, code: "InvalidInput", message: message}
}

func noSuchZone(id string) apiError {
	return apiError{status: http.StatusNotFound, code: "NoSuchHostedZone", message: "No hosted zone found with ID: " + id}
}

// invalidBatch lists all that is wrong with a batch. Route 53 has two forms of it (API Reference,
// ChangeResourceRecordSets, Errors).
func invalidBatch(short bool, messages []string) apiError {
	return apiError{status: http.StatusBadRequest, code: "InvalidChangeBatch", message: "[" + strings.Join(messages, ", ") + "]", messages: messages, short: short}
}

type errorAnswer struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

type shortAnswer struct {
	XMLName   xml.Name `xml:"InvalidChangeBatch"`
	Messages  []string `xml:"Messages>Message"`
	RequestID string   `xml:"RequestId"`
}

const requestID = "b25f48e8-84fd-11e6-80d9-574e0c4664cb"

func (e apiError) body() []byte {
	if e.short {
		return encode(shortAnswer{Messages: e.messages, RequestID: requestID})
	}
	return encode(errorAnswer{Type: "Sender", Code: e.code, Message: e.message, RequestID: requestID})
}

// answer writes an answer: an apiError, or the struct of a success.
func answer(w http.ResponseWriter, what any) {
	status, body := http.StatusOK, []byte(nil)
	switch what := what.(type) {
	case apiError:
		status, body = what.status, what.body()
	case assumeAnswer:
		body = encodeIn(stsNamespace, what)
	default:
		body = encode(what)
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("x-amzn-RequestId", requestID)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone, or has it
}

func encode(what any) []byte { return encodeIn(namespace, what) }

func encodeIn(namespace string, what any) []byte {
	body, err := xml.Marshal(what)
	if err != nil {
		panic(err) // all that is encoded is of this file
	}
	// encoding/xml would repeat the namespace in each element.
	at := strings.IndexByte(string(body), '>')
	return fmt.Appendf(nil, "%s%s xmlns=\"%s\">%s", xml.Header, body[:at], namespace, body[at+1:])
}

func readAll(body io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if err == nil && len(data) > maxBody {
		err = errors.New("too large")
	}
	return data, err
}
