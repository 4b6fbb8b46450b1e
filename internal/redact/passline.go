package redact

import "strings"

// passColons is how many colons a line of .pgpass has.
const passColons = 4

// passLines masks the password in lines as .pgpass has them:
// host:port:database:user:X.
func (s *scanner) passLines() {
	for begin := 0; begin < len(s.text); {
		end := s.lineEnd(begin)
		if i := strings.Index(s.text[begin:end], `\n`); i >= 0 {
			end = begin + i
		}
		if at := passwordAt(s.text[begin:end]); at > 0 {
			s.add(begin+at, end)
		}
		begin = end + 1
		if strings.HasPrefix(s.text[end:], `\n`) {
			begin = end + len(`\n`)
		}
	}
}

// passwordAt returns where the password begins in a line of .pgpass; 0 is nowhere.
func passwordAt(line string) int {
	if strings.Count(line, ":") != passColons || hasBlank(line) {
		return 0
	}
	fields := strings.Split(line, ":")
	port, database, user, password := fields[1], fields[2], fields[3], fields[4]
	isPort := port == "*" || len(port) > 1 && len(port) <= 5 && isDigits(port)
	if fields[0] == "" || !isPort || database == "" || isDigits(database) || user == "" || isDigits(user) || password == "" {
		return 0
	}
	return len(line) - len(password)
}
