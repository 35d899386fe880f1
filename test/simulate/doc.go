// Package simulate is a world in which the operator rotates DKIM keys: an API server, a DNS
// provider, name servers that lag and fall silent, resolvers with caches, signers that reload late,
// senders and receivers of mail, a user, and crashes between any two effects.
//
// The reconciler is the real one. Everything else is played, in one goroutine, on a clock of its
// own: a seed decides all that happens, so that a failure can be played again. After every step the
// invariants are judged, among them the one that all is about: each message that was signed
// verifies at every receiver for as long as it may be on its way.
package simulate
