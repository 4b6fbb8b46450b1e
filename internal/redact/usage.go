package redact

import (
	"slices"
	"strings"

	"sallyport/internal/redact/known"
)

// rule masks what a rule says of the arguments of a program, from the word i on.
func (c *command) rule(u *known.Usage, r *known.Rule, i int) {
	for _, need := range r.Needs {
		if !c.has(need, i) {
			return
		}
	}
	for i <= len(c.words) {
		begin, ok := c.afterWords(r.Words, i)
		if !ok {
			return
		}
		i = c.arguments(u, r, begin)
		if len(r.Words) == 0 {
			return
		}
	}
}

// has reports whether a flag or a word stands at i or after it.
func (c *command) has(word string, i int) bool {
	isShort := len(word) == 2 && word[0] == '-'
	return slices.ContainsFunc(c.words[min(i, len(c.words)):], func(w string) bool {
		return strings.EqualFold(w, word) || isShort && isCluster(w) && strings.IndexByte(w, word[1]) > 0
	})
}

// afterWords returns the position after words that stand in this order, from i on.
func (c *command) afterWords(words [][]string, i int) (int, bool) {
	for _, either := range words {
		for i < len(c.words) && !isEither(either, c.words[i]) {
			i++
		}
		if i >= len(c.words) {
			return i, false
		}
		i++
	}
	return i, true
}

func isEither(either []string, word string) bool {
	for _, w := range either {
		if len(w) == len(word) && strings.EqualFold(w, word) {
			return true
		}
	}
	return false
}

// arguments masks what a rule says of the words from i on, and returns the first
// of which it says nothing.
func (c *command) arguments(u *known.Usage, r *known.Rule, i int) int {
	n, last := 0, -1
	isBounded := len(r.Words) > 0 && len(r.Short) == 0 && len(r.Long) == 0 && len(r.Prefixes) == 0 && !r.Repeats && !r.Last
	for ; i < len(c.words); i++ {
		w := c.words[i]
		switch {
		case isBounded && n == len(r.Arguments):
			return i
		case c.prefix(r, i):
		case len(w) > 1 && w[0] == '-' && (c.depth == 0 || w != "-"):
			i = c.flags(u, r, i)
		case r.Stops:
			return len(c.words)
		default:
			last = i
			c.argument(r, n, i)
			n++
		}
	}
	if r.Last && last >= 0 && len(r.Arguments) > 0 {
		c.value(r.Arguments[len(r.Arguments)-1], last, 0)
	}
	return len(c.words)
}

// argument masks what a rule says of its argument n, the word i.
func (c *command) argument(r *known.Rule, n, i int) {
	if r.Last {
		return
	}
	if n >= len(r.Arguments) {
		if !r.Repeats {
			return
		}
		n = len(r.Arguments) - 1
	}
	a := r.Arguments[n]
	if a.Kind == known.ValueOfName && !c.isNamed(i) {
		return
	}
	c.value(a, i, 0)
}

// isNamed reports whether the word before i is the name of the secret at i.
func (c *command) isNamed(i int) bool {
	name := c.words[i-1]
	name = name[strings.LastIndexByte(name, ':')+1:]
	if known.KindOf(name, known.Assigned).Holds(c.words[i]) {
		return true
	}
	// In pypi-token.name a name follows.
	before, _, ok := strings.Cut(name, ".")
	return ok && strings.Contains(before, "-") && known.KindOf(before, known.Assigned).Holds(c.words[i])
}

// prefix masks the rest of the word i when it begins as a secret does.
func (c *command) prefix(r *known.Rule, i int) bool {
	for _, p := range r.Prefixes {
		if strings.HasPrefix(c.words[i], p.Text) {
			c.value(p.Value, i, len(p.Text))
			return true
		}
	}
	return false
}

// value masks an argument of this kind that is the word i from the byte from on.
func (c *command) value(a known.Argument, i, from int) {
	value := c.words[i][from:]
	switch a.Kind {
	case known.Whole, known.ValueOfName:
		c.mask(i, from)
	case known.PathOrSecret:
		if !known.IsPath(value) {
			c.mask(i, from)
		}
	case known.MemberOrSecret:
		if _, member, _ := strings.Cut(value, "="); !isAssignment(value) || strings.Trim(member, "=") == "" {
			c.mask(i, from)
		}
	case known.Pair:
		if f, t := userinfo(value, a.Separator, false); f < t {
			c.hits = append(c.hits, hit{i, span{from + f, from + t}})
		}
	case known.Member:
		if _, member, ok := strings.Cut(value, "="); ok && !strings.HasPrefix(member, "@") {
			c.mask(i, len(c.words[i])-len(member))
		}
	case known.Login:
		c.loginAt(i)
	case known.ShellText:
		c.setRole(i, roleShell)
	case known.Code:
		c.setRole(i, roleCode)
	}
}

// loginAt masks the password in user/password@database, the word i.
func (c *command) loginAt(i int) {
	w := c.words[i]
	slash := strings.IndexByte(w, '/')
	if slash <= 0 || strings.ContainsAny(w[:1], "-@") {
		return
	}
	end := len(w)
	if at := strings.LastIndexByte(w, '@'); at > slash {
		end = at
	}
	c.hits = append(c.hits, hit{i, span{slash + 1, end}})
}

// flags masks what the flags at i hold, and returns the last word that belongs to
// them.
func (c *command) flags(u *known.Usage, r *known.Rule, i int) int {
	w := c.words[i]
	dashes := 1
	if w[1] == '-' {
		dashes = 2
	}
	name, _, assigned := strings.Cut(w[dashes:], "=")
	if a, ok := r.Long[name]; ok {
		return c.flagValue(a, i, dashes+len(name)+1, assigned)
	}
	if u.LongTakesValue(name) {
		return c.flagValue(known.Argument{Kind: known.Plain}, i, len(w), assigned)
	}
	if dashes == 2 {
		return i
	}
	for k := 1; k < len(w); k++ {
		for _, s := range r.Short {
			if strings.IndexByte(s.Letters, w[k]) < 0 {
				continue
			}
			here := k+1 < len(w)
			if s.Attached && !here {
				return i
			}
			if s.Value.Kind != known.None {
				return c.flagValue(s.Value, i, k+1, here)
			}
		}
		if u.TakesValue(w[k]) && !r.Says(w[k]) {
			return c.flagValue(known.Argument{Kind: known.Plain}, i, len(w), k+1 < len(w))
		}
	}
	return i
}

// flagValue masks a flag's value, from the byte from on or in the next word, and
// returns the last word that belongs to the flag.
func (c *command) flagValue(a known.Argument, i, from int, here bool) int {
	switch {
	case a.Kind == known.None:
		return i
	case here:
		if strings.HasPrefix(c.words[i][from:], "=") && from == 2 {
			from++
		}
		c.value(a, i, from)
		return i
	case i+1 < len(c.words) && !isFlag(c.words[i+1]):
		if !isPorts(c.words[i+1]) && !isReference(c.words[i+1]) {
			c.value(a, i+1, 0)
		}
		return i + 1
	}
	return i
}

// login masks the -p X of a program of which that isn't known, when it has a -u
// NAME beside.
func (c *command) login(usage *known.Usage, i int) {
	from := min(i, len(c.words))
	if !slices.ContainsFunc(c.words[from:], func(w string) bool { return len(w) > 1 && w[0] == '-' && w[1]|0x20 == 'p' }) ||
		!c.namesUser(from) {
		return
	}
	for i = from; i < len(c.words); i++ {
		w := c.words[i]
		isP := len(w) > 1 && w[0] == '-' && (w[1] == 'p' || w[1] == 'P')
		switch {
		case !isP || usage != nil && usage.Says(w[1]):
		case len(w) > 2:
			c.attachedLogin(i)
		case i+1 < len(c.words) && mayBePassword(c.words[i+1]):
			c.mask(i+1, 0)
		}
	}
}

// namesUser reports whether a flag at i or after it names a user.
func (c *command) namesUser(i int) bool {
	for ; i < len(c.words); i++ {
		switch name, _, assigned := strings.Cut(c.words[i], "="); name {
		case "-u", "-U", "--user", "--username", "-user", "-username", "--login":
			if assigned || i+1 < len(c.words) && !isFlag(c.words[i+1]) {
				return true
			}
		}
	}
	return false
}

// attachedLogin masks the X of the -pX at i, unless that is a flag's name.
func (c *command) attachedLogin(i int) {
	value := strings.TrimPrefix(c.words[i][2:], "=")
	isName := runEnd(value, 0, func(c byte) bool { return isLower(c) || c == '-' }) == len(value) && len(value) == len(c.words[i])-2
	if !isName && mayBePassword(value) && strings.IndexByte(c.words[i], '=') != len("-p")+1 {
		c.mask(i, len(c.words[i])-len(value))
	}
}

// mayBePassword reports whether the value of a -p is no port, process or path.
func mayBePassword(value string) bool {
	const digitsMax = 5
	return value != "" && !isFlag(value) && !isPorts(value) && !known.IsPath(value) && !isReference(value) &&
		!(len(value) <= digitsMax && isDigits(value))
}

// curl masks cookies, headers without a blank, and user:password@host without a
// scheme.
func (c *command) curl(i int) {
	for ; i < len(c.words); i++ {
		switch before, w := c.words[i-1], c.words[i]; {
		case (before == "-b" || before == "--cookie") && strings.Contains(w, "="):
			c.mask(i, 0)
		case strings.HasPrefix(w, "-b") && strings.Contains(w, "="):
			c.mask(i, len("-b"))
		case before == "-H" || before == "--header":
			name, value, _ := strings.Cut(w, ":")
			if known.KindOf(name, known.Labelled).Holds(value) && !strings.HasPrefix(value, " ") {
				c.mask(i, len(name)+1)
			}
		case !strings.HasPrefix(w, "-") && !strings.Contains(w, "://"):
			authority, _, _ := strings.Cut(w, "/")
			at := strings.LastIndexByte(authority, '@')
			if colon := strings.IndexByte(authority, ':'); 0 < colon && colon+1 < at {
				c.hits = append(c.hits, hit{i, span{colon + 1, at}})
			}
		}
	}
}
