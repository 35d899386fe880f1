package controllers

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/records"
)

// Nobody is told that a withdrawal goes on while its record can't be written (Law 8).
func TestAWithdrawalSaysWhatKeepsItsRecord(t *testing.T) {
	slot := records.MTASTSSlot("example.com")
	waits := verdict{v1alpha1.ReasonPolicyMismatch, "waiting"}
	for name, c := range map[string]struct {
		blocked, record verdict
		status          metav1.ConditionStatus
		want            string
	}{
		"all well":        {status: metav1.ConditionTrue, want: v1alpha1.ReasonWithdrawing},
		"not served yet":  {blocked: waits, status: metav1.ConditionFalse, want: v1alpha1.ReasonPolicyMismatch},
		"another's":       {record: verdict{v1alpha1.ReasonRecordConflict, "two"}, status: metav1.ConditionFalse, want: v1alpha1.ReasonRecordConflict},
		"a human's to do": {record: verdict{v1alpha1.ReasonWaitingForHuman, "publish"}, status: metav1.ConditionFalse, want: v1alpha1.ReasonWaitingForHuman},
		"both":            {blocked: waits, record: verdict{v1alpha1.ReasonRecordConflict, "two"}, status: metav1.ConditionFalse, want: v1alpha1.ReasonPolicyMismatch},
	} {
		s := &scope{md: &v1alpha1.MailDomain{}, blocked: map[string]verdict{}, facts: []fact{{slot: slot, want: "v=STSv1; id=1;", verdict: c.record}}}
		s.mtasts.withdrawing = true
		s.block(v1alpha1.ConditionMTASTSReady, c.blocked)
		if got := conditions(s)[v1alpha1.ConditionMTASTSReady]; got.status != c.status || got.verdict.reason != c.want {
			t.Errorf("%s: %s, %s (%s)", name, got.status, got.verdict.reason, got.verdict.message)
		}
	}
}
