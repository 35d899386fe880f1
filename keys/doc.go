// Package keys is the life of a domain's DKIM keys (RFC 6376): how they are made and
// stored, when one takes over from another, and what the signer gets.
//
// It decides and does not act. Advance is a pure function of the keyring, the policy, what
// the world was seen to serve, and the time; the caller carries out what follows from the
// new keyring. Private keys pass through as PEM and never stand in a Keyring, so that a
// keyring can be shown.
package keys
