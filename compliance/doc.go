// Package compliance judges a domain by published baselines: what bulk senders, governments and
// payment networks demand of a domain's mail. It judges what the world sees, never what somebody
// has wished for.
//
// Facts are what was found out about the domain, each of them known or unknown with the cause. A
// Baseline is a list of controls, each with its source; the baselines are data, in
// baselines.json. Judge says of each control whether the facts pass it.
//
// Unknown is never pass: with less knowledge a verdict stays as it is, or becomes Unknown. Of a
// baseline as a whole one failed control makes a fail, whatever else is unknown.
//
// The package asks nobody and reads no clock.
package compliance
