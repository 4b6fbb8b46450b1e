// Package known holds what is known of how secrets are handed over: names that
// have one for their value, programs and where their arguments have one
// (programs.txt), programs that run others, and the shapes of tokens. It is data,
// and the few functions that look it up.
package known
