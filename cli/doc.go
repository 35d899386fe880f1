// Package cli is the command line for people: what is useful without a cluster. Each command stands in
// a file of its own, over the same pure parts as the operator: mailauth, records and compliance. Time,
// files and the terminal come in by Env.
//
// What comes from DNS and HTTPS is a stranger's text: a terminal gets it without control
// characters.
package cli
