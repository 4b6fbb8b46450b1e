package known

import (
	_ "embed"
	"fmt"
	"strings"
)

// A Usage is what is known of how a program is called.
type Usage struct {
	Rules []Rule
	// short are the letters of which a rule says something, and valued those that
	// take a value.
	short, valued string
	// longs are the other flags that take a value.
	longs map[string]bool
}

// A Rule is one way to call a program, and where that has secrets.
type Rule struct {
	// Words must stand in the arguments, in this order: a subcommand. Each is
	// one of several.
	Words [][]string
	// Needs are flags and words without which the rule says nothing.
	Needs []string
	// Short are the flags of one letter.
	Short []ShortFlag
	// Long are the other flags, without their dashes.
	Long map[string]Argument
	// Prefixes are how words begin that are a secret otherwise.
	Prefixes []Prefix
	// Arguments are what isn't a flag, after Words, in order.
	Arguments []Argument
	// Repeats tells that the last of Arguments stands for all further ones, Last
	// that it stands for the last one alone.
	Repeats, Last bool
	// Stops tells that flags end at the first argument.
	Stops bool
}

// Says reports whether the rule says something of the short flag.
func (r *Rule) Says(letter byte) bool {
	for _, s := range r.Short {
		if strings.IndexByte(s.Letters, letter) >= 0 {
			return true
		}
	}
	return false
}

// A ShortFlag is one of several letters that mean the same.
type ShortFlag struct {
	Letters string
	Value   Argument
	// Attached flags have a value only in the same word: -pX.
	Attached bool
}

// A Prefix is how a word begins; Value is what follows.
type Prefix struct {
	Text  string
	Value Argument
}

// ArgumentKind is what an argument, or the value of a flag, is.
type ArgumentKind uint8

const (
	// None: a flag without a value.
	None ArgumentKind = iota
	// Plain is no secret.
	Plain
	// Whole is a secret.
	Whole
	// PathOrSecret is a secret unless it names a file.
	PathOrSecret
	// MemberOrSecret is a secret unless it is NAME=VALUE.
	MemberOrSecret
	// Pair is a user, a separator and a secret.
	Pair
	// Member is a name, = and a secret.
	Member
	// NameOfValue tells whether the Value after it is a secret.
	NameOfValue
	// ValueOfName is a secret where the name before it says so.
	ValueOfName
	// Login is a user, / and a secret, and perhaps @ and a database.
	Login
	// ShellText is read by a shell.
	ShellText
	// Code is read by another interpreter.
	Code
)

// An Argument is what an argument, or the value of a flag, is.
type Argument struct {
	Kind ArgumentKind
	// Separator is a Pair's.
	Separator byte
}

// Says reports whether something is known of the short flag.
func (u *Usage) Says(letter byte) bool { return strings.IndexByte(u.short, letter) >= 0 }

// TakesValue reports whether the short flag has a value, in the next word if not in
// the same.
func (u *Usage) TakesValue(letter byte) bool { return strings.IndexByte(u.valued, letter) >= 0 }

// LongTakesValue reports the same of a flag without its dashes.
func (u *Usage) LongTakesValue(name string) bool { return u.longs[name] }

//go:embed programs.txt
var programsText string

// parseUsages reads lines of "NAMES: RULE", and leaves out those that aren't. The top
// of programs.txt tells their form.
func parseUsages(text string) (usages map[string]*Usage, faults []error) {
	usages = make(map[string]*Usage)
	for n, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		names, rule, ok := strings.Cut(line, ": ")
		if !ok {
			faults = append(faults, fmt.Errorf("programs.txt:%d: no names", n+1))
			continue
		}
		r, err := parseRule(rule)
		if err != nil {
			faults = append(faults, fmt.Errorf("programs.txt:%d: %w", n+1, err))
			continue
		}
		for _, name := range strings.Fields(names) {
			u := usages[name]
			if u == nil {
				u = &Usage{longs: make(map[string]bool)}
				usages[name] = u
			}
			u.add(r)
		}
	}
	return usages, faults
}

func (u *Usage) add(r Rule) {
	u.Rules = append(u.Rules, r)
	for _, s := range r.Short {
		u.short += s.Letters
		if s.Value.Kind != None && !s.Attached {
			u.valued += s.Letters
		}
	}
	for name, a := range r.Long {
		if a.Kind != None {
			u.longs[name] = true
		}
	}
}

func parseRule(text string) (Rule, error) {
	r := Rule{Long: make(map[string]Argument)}
	for _, token := range strings.Fields(text) {
		if err := r.add(token); err != nil {
			return r, err
		}
	}
	return r, nil
}

// add adds what one token of a line says.
func (r *Rule) add(token string) error {
	if argument, ok := arguments[token]; ok {
		r.Arguments = append(r.Arguments, argument)
		return nil
	}
	switch begin, isRepeated := strings.CutSuffix(token, ".."); {
	case token == "..":
		r.Last = true
	case token == "$":
		r.Stops = true
	case isRepeated:
		argument, ok := arguments[begin]
		if !ok {
			return fmt.Errorf("%q repeats nothing", token)
		}
		r.Arguments, r.Repeats = append(r.Arguments, argument), true
	case strings.HasSuffix(token, "!"):
		r.Needs = append(r.Needs, strings.TrimSuffix(token, "!"))
	case token[0] == '^':
		return r.addPrefix(token[1:])
	case token[0] == '-':
		return r.addFlag(token)
	default:
		r.Words = append(r.Words, strings.Split(strings.TrimPrefix(token, "~"), "|"))
	}
	return nil
}

func (r *Rule) addPrefix(token string) error {
	for name, argument := range arguments {
		if text, ok := strings.CutSuffix(token, "="+name); ok && argument.Kind == Pair {
			r.Prefixes = append(r.Prefixes, Prefix{text + "=", argument})
			return nil
		}
	}
	text, ok := strings.CutSuffix(token, "X")
	if !ok || text == "" {
		return fmt.Errorf("%q is no prefix", token)
	}
	r.Prefixes = append(r.Prefixes, Prefix{text, Argument{Kind: Whole}})
	return nil
}

func (r *Rule) addFlag(token string) error {
	name, value, hasValue := strings.Cut(token[1:], "=")
	argument := arguments[value]
	if hasValue && argument.Kind == None {
		return fmt.Errorf("%q has an unknown value", token)
	}
	letters, isGroup := strings.CutPrefix(strings.TrimSuffix(name, "]"), "[")
	switch {
	case isGroup || len(name) == 1:
		r.Short = append(r.Short, ShortFlag{Letters: letters, Value: argument})
	case len(name) == 2 && name[1] == 'X' && !hasValue:
		r.Short = append(r.Short, ShortFlag{Letters: name[:1], Value: Argument{Kind: Whole}, Attached: true})
	default:
		r.Long[strings.TrimPrefix(name, "-")] = argument
	}
	return nil
}

// arguments are the tokens for arguments, and for values of flags.
var arguments = map[string]Argument{
	"_":    {Kind: Plain},
	"X":    {Kind: Whole},
	"FX":   {Kind: PathOrSecret},
	"TX":   {Kind: MemberOrSecret},
	"U:X":  {Kind: Pair, Separator: ':'},
	"U%X":  {Kind: Pair, Separator: '%'},
	"U,X":  {Kind: Pair, Separator: ','},
	"U/X":  {Kind: Login},
	"K=X":  {Kind: Member},
	"N":    {Kind: NameOfValue},
	"V":    {Kind: ValueOfName},
	"SH":   {Kind: ShellText},
	"CODE": {Kind: Code},
}
