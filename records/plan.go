package records

import (
	"github.com/maildomain/maildomain-operator/api/v1alpha1"
	"github.com/maildomain/maildomain-operator/dnsprovider"
)

// Planned puts a change into the words of status.plan, and of what the command line shows.
func Planned(change dnsprovider.Change) []v1alpha1.PlannedChange {
	var plan []v1alpha1.PlannedChange
	add, remove := change.Add, change.Remove
	for len(add) > 0 || len(remove) > 0 {
		step := v1alpha1.PlannedChange{Name: change.Seen.Name, Type: change.Seen.Type}
		if len(add) > 0 {
			step.New, add = add[0], add[1:]
		}
		if len(remove) > 0 {
			step.Old, remove = remove[0].Value, remove[1:]
		}
		switch {
		case step.Old == "":
			step.Action = v1alpha1.PlanCreate
		case step.New == "":
			step.Action = v1alpha1.PlanRemove
		default:
			step.Action = v1alpha1.PlanChange
		}
		plan = append(plan, step)
	}
	return plan
}
