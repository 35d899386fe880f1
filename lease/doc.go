// Package lease keeps a process that is no longer the leader from writing.
//
// Leader election alone does not: a process that was stopped, starved or cut off for longer than its lease goes
// on where it was, and makes its next write before it learns that another has taken over. So every write to the
// outside, but for Events, asks a Guard first, which lets it through only while the lease outlasts it: at most what
// was already under way can land late. A process that has lost its lease never leads again.
package lease
