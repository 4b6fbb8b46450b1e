//go:build linux

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What the CPU time of a test goes to. Callers, balancer and NATS are in the test's own
// process.
const (
	cpuServers  = "servers"
	cpuSSHD     = "sshd and commands"
	cpuPostgres = "PostgreSQL"
	cpuTest     = "callers, balancer, NATS"
	cpuIdle     = "idle"
	cpuAll      = "all" // of the machine, idle too
)

// cpuTick is the unit of /proc: USER_HZ, which is 100 on Linux.
const cpuTick = 10 * time.Millisecond

// cpuTimes are the CPU times so far, by what they go to.
type cpuTimes map[string]time.Duration

// process is a process as /proc has it.
type process struct {
	name       string
	parent     int
	own, ended int64 // ticks: its own, and those of its children that have ended
}

// readCPU reads the times of this process, of what it has started, and of the machine.
func readCPU(t *testing.T) cpuTimes {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	processes := map[int]process{}
	for _, name := range names {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name))) // digits, as the pattern says
		if text, err := os.ReadFile(name); err == nil {           // it may have ended
			processes[pid] = parseProcess(string(text))
		}
	}
	self := os.Getpid()
	times := cpuTimes{cpuTest: time.Duration(processes[self].own) * cpuTick}
	for pid, p := range processes {
		if what := owner(processes, pid, self); what != "" {
			times[what] += time.Duration(p.own+p.ended) * cpuTick
		}
	}
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line)[1:9] { // what guests take is in the first
		ticks, _ := strconv.ParseInt(field, 10, 64)
		times[cpuAll] += time.Duration(ticks) * cpuTick
		if i == 3 || i == 4 { // idle, and waiting for a disk
			times[cpuIdle] += time.Duration(ticks) * cpuTick
		}
	}
	return times
}

func parseProcess(stat string) process {
	begin, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[end+1:])
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		return n
	}
	return process{
		name: stat[begin+1 : end], parent: int(number(1)),
		own: number(11) + number(12), ended: number(13) + number(14),
	}
}

// owner is what a process belongs to, by the child of ours that it descends from; "" for
// one that isn't ours, and for ourselves.
func owner(processes map[int]process, pid, self int) string {
	for {
		p, ok := processes[pid]
		switch {
		case !ok:
			return ""
		case p.parent != self:
			pid = p.parent
			continue
		}
		switch p.name {
		case "sallyport":
			return cpuServers
		case "sshd":
			return cpuSSHD
		}
		return cpuPostgres // by way of its keeper, a shell
	}
}

// since is what has been used from before on.
func (c cpuTimes) since(before cpuTimes) cpuTimes {
	used := cpuTimes{}
	for what, now := range c {
		used[what] = now - before[what]
	}
	return used
}

func (c cpuTimes) add(more cpuTimes) {
	for what, used := range more {
		c[what] += used
	}
}

// by says what so many execs have used, and how much of the machine was in use.
func (c cpuTimes) by(execs int) string {
	var each []string
	ours := time.Duration(0)
	for _, what := range []string{cpuServers, cpuSSHD, cpuPostgres, cpuTest} {
		ours += c[what]
		each = append(each, fmt.Sprintf("%s %.2f", what, c[what].Seconds()*1000/float64(max(execs, 1))))
	}
	all := max(c[cpuAll].Seconds(), cpuTick.Seconds())
	return fmt.Sprintf("ms of CPU an exec: %s; of all CPU time ours %.0f %%, idle %.0f %%",
		strings.Join(each, ", "), 100*ours.Seconds()/all, 100*c[cpuIdle].Seconds()/all)
}
