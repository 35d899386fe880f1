// Package mtastsserver serves MTA-STS policies (RFC 8461 §3.3) from a snapshot on
// disk, and needs nothing else: no Kubernetes, no credentials, no network of its
// own. The writer (WriteSnapshot) and the server (Run) are two processes that
// share a directory.
//
// A snapshot is whole or it is refused: every file that it names is checked
// against its checksum. The server opens its port with the first whole snapshot
// and from then on never stops serving the last good one, whatever happens to the
// directory or to the writer.
//
// What the server cannot see is whether a whole snapshot has all domains that it
// should have. That is the writer's side: it calls WriteSnapshot only when it knows
// all sites, and never with a part of them.
package mtastsserver
