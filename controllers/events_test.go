package controllers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
	"github.com/maildomain/maildomain-operator/keys"
)

// brief is a line for each Event.
func brief(list []event) []string {
	var lines []string
	for _, e := range list {
		kind := "Normal"
		if e.warning {
			kind = "Warning"
		}
		lines = append(lines, fmt.Sprintf("%s %s %s %s", kind, e.reason, e.part, e.note))
	}
	return lines
}

func TestEventsOfConditions(t *testing.T) {
	type conditions map[string]string // "Status Reason message" by type
	list := func(c conditions) (s v1alpha1.MailDomainStatus) {
		for _, kind := range []string{ // in the order of a first status
			v1alpha1.ConditionProviderReady, v1alpha1.ConditionSPFReady, v1alpha1.ConditionDKIMReady, v1alpha1.ConditionDMARCReady,
			v1alpha1.ConditionMTASTSReady, v1alpha1.ConditionTLSRPTReady, v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled,
		} {
			if text, there := c[kind]; there {
				words := strings.SplitN(text, " ", 3)
				s.Conditions = append(s.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionStatus(words[0]), Reason: words[1], Message: words[2]})
			}
		}
		return s
	}
	for name, test := range map[string]struct {
		before, after conditions
		want          []string
	}{
		"a first status that goes on needs no Event": {
			after: conditions{
				"ProviderReady": "True Ready usable", "SPFReady": "True Verified served", "DKIMReady": "False Rotating waiting",
				"DMARCReady": "False BasicsNotReady held", "Ready": "False SectionsNotReady not ready: DKIMReady, DMARCReady", "Reconciling": "True SectionsNotReady not ready",
			},
		},
		"what is wrong at the beginning is told": {
			after: conditions{"SPFReady": "False RecordConflict theirs", "DKIMReady": "False Rotating waiting", "Ready": "False SectionsNotReady not ready: DKIMReady, SPFReady"},
			want:  []string{"Warning RecordConflict status.conditions{SPFReady} SPFReady: theirs"},
		},
		"ready at once is told": {
			after: conditions{"SPFReady": "True Verified served", "Ready": "True Verified all is proven"},
			want:  []string{"Normal Verified status.conditions{Ready} Ready: all is proven"},
		},
		"good news of the same reason is one Event": {
			before: conditions{"SPFReady": "True Verified served", "DKIMReady": "False Rotating waiting", "DMARCReady": "False BasicsNotReady held", "TLSRPTReady": "False Progressing soon", "Ready": "False SectionsNotReady not ready", "Reconciling": "True SectionsNotReady not ready"},
			after:  conditions{"SPFReady": "True Verified served", "DKIMReady": "True Verified every key signs", "DMARCReady": "True Verified served", "TLSRPTReady": "True Verified served", "Ready": "True Verified all is proven"},
			want:   []string{"Normal Verified status.conditions{DKIMReady,DMARCReady,TLSRPTReady,Ready} DKIMReady: every key signs; DMARCReady, TLSRPTReady: served; Ready: all is proven"},
		},
		"each thing that is wrong has its own": {
			before: conditions{"SPFReady": "True Verified served", "DMARCReady": "True Verified served", "TLSRPTReady": "True Verified served", "Ready": "True Verified all is proven"},
			after:  conditions{"SPFReady": "False NotServed ns1 has no SPF", "DMARCReady": "False NotServed ns1 has no DMARC", "TLSRPTReady": "False WaitingForPropagation soon", "Ready": "False SectionsNotReady not ready"},
			want: []string{
				"Warning NotServed status.conditions{SPFReady} SPFReady: ns1 has no SPF",
				"Warning NotServed status.conditions{DMARCReady} DMARCReady: ns1 has no DMARC",
				"Normal WaitingForPropagation status.conditions{TLSRPTReady} TLSRPTReady: soon",
			},
		},
		"one thing that is wrong has one, though two conditions say it": {
			before: conditions{"MTASTSReady": "True Verified served", "Ready": "True Verified all is proven"},
			after:  conditions{"MTASTSReady": "False MailAtRisk mx2 is not covered", "Ready": "False MailAtRisk mx2 is not covered"},
			want:   []string{"Warning MailAtRisk status.conditions{MTASTSReady,Ready} MTASTSReady, Ready: mx2 is not covered"},
		},
		"Ready says what no section says": {
			before: conditions{"SPFReady": "True Verified served", "Ready": "True Verified all is proven"},
			after:  conditions{"SPFReady": "True Verified served", "DKIMReady": "False Rotating waiting", "Ready": "False SectionsNotReady not ready: DKIMReady"},
			want:   []string{"Normal SectionsNotReady status.conditions{Ready} Ready: not ready: DKIMReady"},
		},
		"also where a section has good news": {
			before: conditions{"SPFReady": "False Progressing soon", "DKIMReady": "True Verified served", "Ready": "False Observing not yet"},
			after:  conditions{"SPFReady": "True Verified served", "DKIMReady": "True Verified served", "TLSRPTReady": "False Progressing soon", "Ready": "False SectionsNotReady not ready: TLSRPTReady"},
			want: []string{
				"Normal Verified status.conditions{SPFReady} SPFReady: served",
				"Normal SectionsNotReady status.conditions{Ready} Ready: not ready: TLSRPTReady",
			},
		},
		"what did not move is not told": {
			before: conditions{"SPFReady": "False NotServed ns1", "Ready": "False SectionsNotReady not ready", "Stalled": "True SectionsNotReady not ready"},
			after:  conditions{"SPFReady": "False NotServed ns1 and ns2", "Ready": "False SectionsNotReady not ready: SPFReady", "Stalled": "True SectionsNotReady not ready"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, brief(changes(list(test.before), list(test.after)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEventsOfKeys(t *testing.T) {
	for name, test := range map[string]struct {
		steps []keyStep
		want  []string
	}{
		"nothing moved": {},
		"made, while the record waits": {
			steps: []keyStep{{"a", "rsa", keys.Generated}},
			want:  []string{"Normal KeyGenerated status.dkim.keys{a} DKIM key a (rsa) is generated"},
		},
		"of two keys' steps up to the signature the last ones": {
			steps: []keyStep{{"a", "rsa", keys.Generated}, {"b", "ed", keys.Generated}, {"a", "rsa", keys.Published}, {"b", "ed", keys.Published}},
			want:  []string{"Normal KeyPublished status.dkim.keys{a,b} DKIM keys a (rsa) and b (ed) are published"},
		},
		"one has come further than the other": {
			steps: []keyStep{{"a", "rsa", keys.Propagated}, {"a", "rsa", keys.Active}, {"b", "ed", keys.Propagated}},
			want: []string{
				"Normal KeyPropagated status.dkim.keys{b} DKIM key b (ed) is propagated",
				"Normal KeyActive status.dkim.keys{a} DKIM key a (rsa) is active: new mail should carry s=a in its DKIM-Signature",
			},
		},
		"a rotation of two": {
			steps: []keyStep{{"c", "rsa", keys.Active}, {"d", "ed", keys.Active}, {"a", "rsa", keys.Retired}, {"b", "ed", keys.Retired}},
			want: []string{
				"Normal KeyActive status.dkim.keys{c,d} DKIM keys c (rsa) and d (ed) are active: new mail should carry s=c or s=d in its DKIM-Signature",
				"Normal KeyRetired status.dkim.keys{a,b} DKIM keys a (rsa) and b (ed) are retired: if new mail still carries s=a or s=b, reload the signer within 84h0m0s: then the keys' files leave their Secret, and 168h0m0s later their records are revoked",
			},
		},
		"each step of the way down": {
			steps: []keyStep{{"a", "rsa", keys.Active}, {"a", "rsa", keys.Retired}, {"a", "rsa", keys.Revoked}},
			want: []string{
				"Normal KeyActive status.dkim.keys{a} DKIM key a (rsa) is active: new mail should carry s=a in its DKIM-Signature",
				"Normal KeyRetired status.dkim.keys{a} DKIM key a (rsa) is retired: if new mail still carries s=a, reload the signer within 84h0m0s: then the key's file leaves its Secret, and 168h0m0s later its record is revoked",
				"Normal KeyRevoked status.dkim.keys{a} DKIM key a (rsa) is revoked",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, brief(keysMoved(test.steps, v1alpha1.DefaultRotationRetention))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEventsOfRecords(t *testing.T) {
	at := func(name string, stood ...string) dnsprovider.Change {
		c := dnsprovider.Change{Seen: dnsprovider.RRset{Key: dnsprovider.Key{Name: name, Type: "TXT"}}}
		for _, value := range stood {
			c.Remove = append(c.Remove, dnsprovider.Record{Value: value})
		}
		return c
	}
	s := &scope{}
	s.wrote(dnsprovider.Create, at("example.com"), "v=spf1 -all")
	if diff := cmp.Diff([]string{"Normal Create status.records{TXT example.com} TXT example.com v=spf1 -all"}, brief(s.told())); diff != "" {
		t.Error(diff)
	}
	s.wrote(dnsprovider.Replace, at("_dmarc.example.com", "v=DMARC1; p=none"), "v=DMARC1; p=reject")
	s.wrote(dnsprovider.Remove, at("_mta-sts.example.com", "v=STSv1; id=1"), "")
	s.wrote(dnsprovider.Create, at("_smtp._tls.example.com"), "v=TLSRPTv1; rua=mailto:tls@example.com")
	want := []string{
		"Normal Create status.records{TXT example.com,TXT _smtp._tls.example.com} TXT example.com, TXT _smtp._tls.example.com",
		`Normal Replace status.records{TXT _dmarc.example.com} TXT _dmarc.example.com v=DMARC1; p=reject; before it was "v=DMARC1; p=none"`,
		`Normal Remove status.records{TXT _mta-sts.example.com} TXT _mta-sts.example.com; before it was "v=STSv1; id=1"`,
	}
	if diff := cmp.Diff(want, brief(s.told())); diff != "" {
		t.Error(diff)
	}
}

// What does not fit into the note of one Event is told by another, and nothing is left out or told twice.
func TestEventsHaveRoom(t *testing.T) {
	var all []made
	var want []string
	for i := range 40 {
		key := dnsprovider.Key{Name: fmt.Sprintf("%02d.%s.example.com", i, strings.Repeat("x", 60)), Type: "TXT"}
		all, want = append(all, made{key: key}), append(want, key.String())
	}
	var got []string
	list := recordsMade(all)
	for _, e := range list {
		if len(e.note) > maxNote {
			t.Errorf("a note of %d octets", len(e.note))
		}
		got = append(got, strings.Split(e.note, ", ")...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !slices.IsSortedFunc(list, func(a, b event) int { return strings.Compare(a.part, b.part) }) || len(list) != 4 {
		t.Errorf("%d Events", len(list))
	}
	if list := recordsMade([]made{{dnsprovider.Key{Name: "example.com", Type: "TXT"}, strings.Repeat("x", 2*maxNote)}}); len(list) != 1 {
		t.Errorf("%d Events of one long record", len(list))
	}
}
