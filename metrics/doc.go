// Package metrics is what the manager tells Prometheus: figures made of the status of every MailDomain at the
// time of a scrape, and counts of what the process itself does. docs/metrics.md lists them all.
//
// No label holds a domain name. By default none holds anything else of a tenant's either: who scrapes gets totals
// over all MailDomains. With Collector.PerObject each figure about MailDomains is told for each of
// them, with two labels more, namespace and name. A query that sums, or takes the minimum or the maximum, by (namespace, name)
// is right for both.
package metrics
