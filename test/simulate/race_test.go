//go:build race

package simulate

// race: everything takes ten times as long.
const race = true
