package metrics

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// at is that many seconds after 1000, as Unix counts.
func at(seconds int64) *metav1.Time { return &metav1.Time{Time: time.Unix(1000+seconds, 0)} }

func condition(kind string, status metav1.ConditionStatus, reason string, since int64) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, LastTransitionTime: *at(since)}
}

func record(name string, purpose v1alpha1.RecordPurpose, state v1alpha1.RecordState, reason string) v1alpha1.RecordStatus {
	return v1alpha1.RecordStatus{Name: name, Type: "TXT", Purpose: purpose, State: state, Reason: reason}
}

// full has something of everything, in the middle of a rotation.
func full(namespace, name string) v1alpha1.MailDomain {
	md := v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	md.Spec.Domain = name + ".example"
	md.Status = v1alpha1.MailDomainStatus{
		Conditions: []metav1.Condition{
			condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSectionsNotReady, 5),
			condition(v1alpha1.ConditionSPFReady, metav1.ConditionTrue, v1alpha1.ReasonVerified, 1),
			condition(v1alpha1.ConditionMTASTSReady, metav1.ConditionFalse, v1alpha1.ReasonMailAtRisk, 4),
			condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonSectionsNotReady, 5),
		},
		Records: []v1alpha1.RecordStatus{
			record("example", v1alpha1.PurposeSPF, v1alpha1.RecordVerified, v1alpha1.ReasonVerified),
			record("a._domainkey.example", v1alpha1.PurposeDKIM, v1alpha1.RecordPublished, v1alpha1.ReasonWaitingForPropagation),
			record("b._domainkey.example", v1alpha1.PurposeDKIM, v1alpha1.RecordVerified, v1alpha1.ReasonVerified),
			record("c._domainkey.example", v1alpha1.PurposeDKIM, v1alpha1.RecordVerified, v1alpha1.ReasonVerified),
		},
		SPF: &v1alpha1.SPFStatus{Lookups: ptr.To[int32](3)},
		DKIM: &v1alpha1.DKIMStatus{
			Keys: []v1alpha1.DKIMKeyStatus{
				{Selector: "a", State: v1alpha1.KeyActive, Created: at(10)},
				{Selector: "b", State: v1alpha1.KeyActive, Created: at(20)},
				{Selector: "c", State: v1alpha1.KeyPropagated, Created: at(30)},
				{Selector: "z", State: v1alpha1.KeyRetired, Created: at(-50)},
			},
			NextRotation: at(500),
		},
		MTASTS: &v1alpha1.MTASTSStatus{
			Mode: v1alpha1.MTASTSEnforce, CommitmentEnds: at(700),
			MX: []v1alpha1.MXStatus{{Host: "mx1.example", Covered: v1alpha1.VerdictPass, StartTLS: v1alpha1.VerdictFail}, {Host: "mx2.example", Covered: v1alpha1.VerdictFail}},
		},
	}
	return md
}

// text is a line for each figure, sorted.
func (f figures) text() []string {
	var lines []string
	for s, value := range f {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s = %v", strings.TrimPrefix(s.name, "maildomain_"), strings.Join(s.values[:len(s.labels)], " "), value)))
	}
	slices.Sort(lines)
	return lines
}

func TestFiguresOfOne(t *testing.T) {
	md := full("mail", "one")
	before := md.DeepCopy()
	f := figures{}
	f.describe(&md)
	want := []string{
		"condition_not_true_since_timestamp_seconds MTASTSReady MailAtRisk = 1004",
		"condition_not_true_since_timestamp_seconds Ready SectionsNotReady = 1005",
		"conditions MTASTSReady False MailAtRisk = 1",
		"conditions Ready False SectionsNotReady = 1",
		"conditions SPFReady True Verified = 1",
		"conditions Stalled True SectionsNotReady = 1",
		"dkim_active_key_created_timestamp_seconds  = 1010",
		"dkim_active_keys_unserved  = 1",
		"dkim_keys Active = 2",
		"dkim_keys Propagated = 1",
		"dkim_keys Retired = 1",
		"dkim_next_rotation_timestamp_seconds  = 1500",
		"dkim_pending_key_created_timestamp_seconds  = 1030",
		"domains Enforce = 1",
		"mta_sts_commitment_end_timestamp_seconds  = 1700",
		"mta_sts_mx_hosts Fail NotProbed = 1",
		"mta_sts_mx_hosts Pass Fail = 1",
		"mta_sts_policies enforce = 1",
		"records DKIM Published = 1",
		"records DKIM Verified = 2",
		"records SPF Verified = 1",
		"spf_lookups  = 3",
	}
	if diff := cmp.Diff(want, f.text()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, &md); diff != "" {
		t.Errorf("what is shared with the cache was changed:\n%s", diff)
	}
}

// Every gauge is made of the full one: none is forgotten here, or in describe.
func TestEveryGaugeIsMade(t *testing.T) {
	md := full("mail", "one")
	f := figures{}
	f.describe(&md)
	made := map[*gauge]bool{}
	for s := range f {
		made[s.gauge] = true
	}
	if len(made) != len(gauges) {
		t.Errorf("%d gauges are made, want %d", len(made), len(gauges))
	}
	for _, g := range gauges {
		if !made[g] {
			t.Errorf("%s is not made", g.name)
		}
		if len(g.labels) > maxLabels {
			t.Errorf("%s has %d labels", g.name, len(g.labels))
		}
	}
}

// Of many, counts are added, and of times and limits the one stands that matters.
func TestFiguresOfMany(t *testing.T) {
	one, two := full("mail", "one"), full("mail", "two")
	two.Status.Conditions[0].LastTransitionTime = *at(2)
	two.Status.SPF.Lookups = ptr.To[int32](9)
	two.Status.DKIM.Keys[0].Created = at(-10)
	two.Status.DKIM.NextRotation = at(400)
	two.Status.MTASTS.CommitmentEnds = at(800)
	two.Status.MTASTS.Mode = v1alpha1.MTASTSTesting
	empty := v1alpha1.MailDomain{}
	f := figures{}
	for _, md := range []*v1alpha1.MailDomain{&one, &two, &empty} {
		f.describe(md)
	}
	got := f.text()
	for _, want := range []string{
		"condition_not_true_since_timestamp_seconds Ready SectionsNotReady = 1002",
		"conditions Ready False SectionsNotReady = 2",
		"dkim_active_key_created_timestamp_seconds  = 990",
		"dkim_active_keys_unserved  = 2",
		"dkim_keys Active = 4",
		"dkim_next_rotation_timestamp_seconds  = 1400",
		"domains Enforce = 3",
		"mta_sts_commitment_end_timestamp_seconds  = 1800",
		"mta_sts_policies enforce = 1",
		"mta_sts_policies testing = 1",
		"spf_lookups  = 9",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
}

// A rotation that is due, of a MailDomain with which nothing is done, waits for nothing but its owner.
func TestNextRotationIsOfThoseKeptTrue(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.MailDomainSpec)
		mode   string
		told   bool
	}{
		"enforced":               {func(*v1alpha1.MailDomainSpec) {}, "Enforce", true},
		"observed":               {func(s *v1alpha1.MailDomainSpec) { s.Mode = v1alpha1.ModeObserve }, "Observe", false},
		"suspended":              {func(s *v1alpha1.MailDomainSpec) { s.Suspend = ptr.To(true) }, "Suspended", false},
		"suspended and observed": {func(s *v1alpha1.MailDomainSpec) { s.Mode, s.Suspend = v1alpha1.ModeObserve, ptr.To(true) }, "Suspended", false},
	} {
		md := full("mail", "one")
		test.change(&md.Spec)
		f := figures{}
		f.describe(&md)
		if _, told := f[series{gauge: nextRotation}]; told != test.told {
			t.Errorf("%s: told %v, want %v", name, told, test.told)
		}
		if !slices.Contains(f.text(), "domains "+test.mode+" = 1") {
			t.Errorf("%s: %q", name, f.text())
		}
	}
}

func TestKeysThatSignAndAreNotServed(t *testing.T) {
	for name, test := range map[string]struct {
		record v1alpha1.RecordStatus
		want   float64
	}{
		"verified":               {record("s._domainkey.example", v1alpha1.PurposeDKIM, v1alpha1.RecordVerified, v1alpha1.ReasonVerified), 0},
		"missing somewhere":      {record("s._domainkey.example", v1alpha1.PurposeDKIM, v1alpha1.RecordPublished, v1alpha1.ReasonWaitingForPropagation), 1},
		"no server answers":      {record("s._domainkey.example", v1alpha1.PurposeDKIM, v1alpha1.RecordPublished, v1alpha1.ReasonServersUnreachable), 0},
		"the zone is not found":  {record("s._domainkey.example", v1alpha1.PurposeDKIM, v1alpha1.RecordPublished, v1alpha1.ReasonZoneNotFound), 0},
		"gone, and can't be put": {record("s._domainkey.example", v1alpha1.PurposeDKIM, v1alpha1.RecordFailed, v1alpha1.ReasonUnauthorized), 1},
		"another's in its place": {record("s._domainkey.example", v1alpha1.PurposeDKIM, v1alpha1.RecordConflict, v1alpha1.ReasonRecordConflict), 1},
		"gone, by hand":          {record("s._domainkey.example", v1alpha1.PurposeDKIM, v1alpha1.RecordPending, v1alpha1.ReasonWaitingForHuman), 1},
		"of another key":         {record("s2._domainkey.example", v1alpha1.PurposeDKIM, v1alpha1.RecordFailed, v1alpha1.ReasonUnauthorized), 0},
		"of another kind":        {record("s._domainkey.example", v1alpha1.PurposeSPF, v1alpha1.RecordFailed, v1alpha1.ReasonUnauthorized), 0},
	} {
		md := v1alpha1.MailDomain{}
		md.Status.Records = []v1alpha1.RecordStatus{test.record}
		for state, want := range map[v1alpha1.DKIMKeyState]float64{v1alpha1.KeyActive: test.want, v1alpha1.KeyPublished: 0, v1alpha1.KeyRetired: 0} {
			md.Status.DKIM = &v1alpha1.DKIMStatus{Keys: []v1alpha1.DKIMKeyStatus{{Selector: "s", State: state}}}
			f := figures{}
			f.describe(&md)
			if got := f[series{gauge: unservedKeys}]; got != want {
				t.Errorf("%s, of a key that is %s: %v, want %v", name, state, got, want)
			}
		}
	}
}

// The labels that status fills come from closed lists of the API, so their number is bounded.
func TestFiguresOfNothing(t *testing.T) {
	f := figures{}
	f.describe(&v1alpha1.MailDomain{})
	if got := slices.Collect(maps.Keys(f)); len(got) != 1 || got[0].gauge != domains {
		t.Errorf("got %q", f.text())
	}
}
