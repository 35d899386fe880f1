package metrics

// fold makes one figure of those of many MailDomains, so that it needs no label for each.
type fold func(a, b float64) float64

func sum(a, b float64) float64      { return a + b }
func earliest(a, b float64) float64 { return min(a, b) }
func most(a, b float64) float64     { return max(a, b) }

// gauge is one metric that is made of status.
type gauge struct {
	name   string
	help   string
	labels []string // at most maxLabels
	fold   fold
}

// maxLabels bounds what one metric tells apart, without those that name a MailDomain.
const maxLabels = 3

// The times are those of Unix in seconds; of a time that has not come, or is not known, there is no sample.
var (
	domains = &gauge{
		"maildomain_domains", "MailDomains, by what is done with them: Enforce, Observe or Suspended.", []string{"mode"}, sum}
	conditions = &gauge{
		"maildomain_conditions", "Conditions of MailDomains, by type, status and reason.", []string{"type", "status", "reason"}, sum}
	notTrueSince = &gauge{
		"maildomain_condition_not_true_since_timestamp_seconds", "Since when the conditions that should be True have not been, at the longest, by type and reason.", []string{"type", "reason"}, earliest}
	records = &gauge{
		"maildomain_records", "Records in status, by purpose and state.", []string{"purpose", "state"}, sum}

	spfLookups = &gauge{
		"maildomain_spf_lookups", "DNS lookups that evaluating the SPF record causes, at the most; above 10 it is a permerror.", nil, most}

	dkimKeys = &gauge{
		"maildomain_dkim_keys", "DKIM keys that are not yet removed, by state.", []string{"state"}, sum}
	unservedKeys = &gauge{
		"maildomain_dkim_active_keys_unserved", "DKIM keys that sign and whose record is not served by every name server that answers.", nil, sum}
	activeCreated = &gauge{
		"maildomain_dkim_active_key_created_timestamp_seconds", "When the oldest DKIM key that signs was made.", nil, earliest}
	pendingCreated = &gauge{
		"maildomain_dkim_pending_key_created_timestamp_seconds", "When the oldest DKIM key was made that does not sign yet.", nil, earliest}
	nextRotation = &gauge{
		"maildomain_dkim_next_rotation_timestamp_seconds", "When the next rotation of DKIM keys is due, of the MailDomains that are neither suspended nor only observed; in the past while one is under way.", nil, earliest}

	policies = &gauge{
		"maildomain_mta_sts_policies", "MTA-STS policies in force, by mode.", []string{"mode"}, sum}
	commitmentEnd = &gauge{
		"maildomain_mta_sts_commitment_end_timestamp_seconds", "When the last sender will have forgotten a policy that is being withdrawn.", nil, most}
	mxHosts = &gauge{
		"maildomain_mta_sts_mx_hosts", "Live MX hosts of domains with a policy: whether it covers them, and whether they offer STARTTLS with a certificate for their name, each Pass, Fail or Unknown; NotProbed where nobody looks.", []string{"covered", "starttls"}, sum}
)

// gauges are all of them, in the order of docs/metrics.md.
var gauges = []*gauge{
	domains, conditions, notTrueSince, records, spfLookups, dkimKeys, unservedKeys, activeCreated, pendingCreated, nextRotation,
	policies, commitmentEnd, mxHosts,
}
