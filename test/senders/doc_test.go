// Package senders holds the test that a sender which others wrote gets the right policy from the
// running system, whatever befalls it.
package senders
