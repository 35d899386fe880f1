package controllers

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	ctrlevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/maildomain/maildomain-operator/api/v1alpha1"
)

// Ten thousand drift checks are due, and one MailDomain has changed, and one waits for its proof: these two come first. The
// queue is controller-runtime's, and what goes into it is what the reconciler and the handler of For put there.
func TestAChangeOvertakesDriftChecks(t *testing.T) {
	r := &Reconciler{Resync: 10 * time.Minute}
	named := func(name string) *v1alpha1.MailDomain {
		return &v1alpha1.MailDomain{ObjectMeta: metav1.ObjectMeta{Namespace: "mail", Name: name, ResourceVersion: "1"}}
	}
	request := func(name string) ctrl.Request {
		return ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "mail", Name: name}}
	}
	queue := priorityqueue.New[ctrl.Request]("overtake")
	defer queue.ShutDown()
	come := func(name string, result ctrl.Result) { // as its time has come
		queue.AddWithOpts(priorityqueue.AddOpts{Priority: result.Priority}, request(name))
	}
	const drifts = 10000
	for i := range drifts {
		come(fmt.Sprintf("d%d", i), r.next(&scope{md: named(fmt.Sprintf("d%d", i))}, true))
	}
	late, drifted := types.NamespacedName{Namespace: "mail", Name: "d7000"}, &view{}
	(&DriftWatch{news: queue, watches: map[types.NamespacedName]*watch{late: {view: drifted}}}).changed(late, drifted)
	come("waits", r.next(&scope{md: named("waits"), recheck: time.Second}, false))
	changed := named("d5000")
	changed.ResourceVersion = "2"
	(&handler.EnqueueRequestForObject{}).Update(t.Context(), ctrlevent.UpdateEvent{ObjectOld: named("d5000"), ObjectNew: changed}, queue)

	order := map[string]int{}
	for i := range drifts + 1 {
		item, _ := queue.Get()
		order[item.Name] = i
		queue.Done(item)
	}
	if order["waits"] > 1 || order["d5000"] > 1 || order["d7000"] != 2 {
		t.Errorf("what waits for its proof is number %d, what has changed number %d, and what a drift check has found number %d of %d", order["waits"], order["d5000"], order["d7000"], len(order))
	}
}

// MailDomains that were looked at at the same moment fall apart, and none waits longer than the flag says.
func TestDriftChecksFallApart(t *testing.T) {
	const interval, parts = 10 * time.Minute, 10
	var counts [parts]int
	for i := range 10000 {
		after := early(interval, fmt.Sprintf("mail/d%05d", i))
		if after > interval || after <= interval*9/10 {
			t.Fatalf("the next look is after %s", after)
		}
		counts[int((interval-after)*parts*10/interval)]++
	}
	for _, n := range counts {
		if n > 2*10000/parts {
			t.Errorf("%v: in a tenth of the time there are more than twice the mean", counts)
		}
	}
}
