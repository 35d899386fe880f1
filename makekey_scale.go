//go:build scale

// The manager of `make bench-scale`, built with the tag scale and for nothing else: it is the product, but that rsa keys come
// from a file that was made before the clock started, and that it serves its profiles.

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	_ "net/http/pprof" // at the address of profilesVariable
	"os"
	"sync"

	"github.com/maildomain/maildomain-operator/keys"
)

// What the harness sets. Both may be empty.
const (
	stockVariable    = "MAILDOMAIN_SCALE_KEYS"  // file of rsa keys of 2048 bits, one PEM block after another
	profilesVariable = "MAILDOMAIN_SCALE_PPROF" // address
)

// makeKey takes from the stock, as long as there is any, what keys.Generate would make.
var makeKey = func() func(algorithm string, bits int) (keys.Pair, error) {
	if address := os.Getenv(profilesVariable); address != "" {
		go func() { fmt.Fprintln(os.Stderr, "profiles:", http.ListenAndServe(address, nil)) }()
	}
	file := os.Getenv(stockVariable)
	if file == "" {
		return keys.Generate
	}
	var mu sync.Mutex
	stock, fail := os.Open(file)
	lines := bufio.NewScanner(stock) // and not all at once: the memory of this process is measured
	return func(algorithm string, bits int) (keys.Pair, error) {
		if algorithm != "rsa" || bits != keys.MinBits {
			return keys.Generate(algorithm, bits)
		}
		mu.Lock()
		defer mu.Unlock()
		var private []byte
		for !bytes.Contains(private, []byte("-----END")) {
			if fail != nil || !lines.Scan() {
				return keys.Pair{}, errors.Join(fail, lines.Err(), errors.New("the stock of keys is used up"))
			}
			private = append(append(private, lines.Bytes()...), '\n')
		}
		record, err := keys.RecordOf(private)
		return keys.Pair{Private: private, Record: record}, err
	}
}()
