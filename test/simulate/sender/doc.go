// Package sender is mail senders who follow RFC 8461: they find the policy of a domain, keep it for
// its max_age, and do not deliver where it forbids that. It is the other side of what a simulated
// operator does: who announces a policy and then breaks it loses the mail of those who hold it.
//
// Nothing here knows a real clock or network: a world hands in what there is at each instant.
package sender
