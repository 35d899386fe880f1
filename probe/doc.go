// Package probe sees what the world sees: the records that each authoritative
// name server of a zone gives out, what a recursive resolver makes of them, and
// the MTA-STS policy as it is served over HTTPS.
//
// Everything that comes back is hostile until decoded: messages are matched to
// their question, sizes and counts are bounded, and nothing panics. Results hold
// no clock times, message ids or local ports, so that an unchanged world gives
// unchanged results.
//
// Names in values are absolute, lower-case and without the trailing dot; only the
// root, as the target of a record, is ".".
package probe
