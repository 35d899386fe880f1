// Package simulate is a world in which the operator rotates DKIM keys: an API server, a DNS
// provider, name servers that lag and fall silent, resolvers with caches, signers that reload late,
// senders and receivers of mail, a user, and crashes between any two effects.
//
// The reconciler is the real one. Everything else is played, in one goroutine, on a clock of its
// own: a seed decides all that happens, so that a failure can be played again. After every step the
// invariants are judged, among them the one that all is about: each message that was signed
// verifies at every receiver for as long as it may be on its way.
//
// Other worlds are of MTA-STS, a year of each (Year): replicas that serve real snapshots, the hosts of MX
// records, an owner who changes spec and moves MX records, and senders with caches. What is judged there is
// that no mail is lost by what was announced, whoever may hold which policy.
package simulate
