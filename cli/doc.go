// Package cli is the command line for people: what is useful before any cluster, and what one asks of a
// cluster's MailDomains. Each command stands in a file of its own, over the same pure parts as the operator:
// mailauth, records, compliance and the decisions of dnsprovider. Time, files and the terminal come in by
// Env. It reads no Secret, and of a MailDomain it writes one annotation.
//
// What comes from DNS and HTTPS is a stranger's text: a terminal gets it without control
// characters.
package cli
