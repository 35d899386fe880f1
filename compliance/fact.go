package compliance

// Fact is something that was found out about a domain, or was not. The zero Fact is unknown.
type Fact[T any] struct {
	value T
	known bool
	cause string
}

// Seen is a fact that was found out.
func Seen[T any](value T) Fact[T] { return Fact[T]{value: value, known: true} }

// Unseen is a fact that could not be found out; cause says why.
func Unseen[T any](cause string) Fact[T] { return Fact[T]{cause: cause} }

// Get returns the value; it is the zero value if it is not known.
func (f Fact[T]) Get() (value T, known bool) { return f.value, f.known }

// Cause says why the fact is not known; "" if it is.
func (f Fact[T]) Cause() string {
	if !f.known && f.cause == "" {
		return "it was not looked at"
	}
	return f.cause
}
