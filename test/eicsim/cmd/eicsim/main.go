// Eicsim runs the simulator of EC2 Instance Connect Endpoints until it is told to
// end, for a demonstration without an AWS account. It serves whoever is on this
// machine and knows the well-known keys of AWS's documentation: it is no server for
// anything but that.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"sallyport/test/eicsim"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "eicsim:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, os.Interrupt, syscall.SIGTERM)
	flags := flag.NewFlagSet("eicsim", flag.ContinueOnError)
	region := flags.String("region", "us-east-2", "the `region`")
	envFile := flags.String("env-file", "", "write the environment of a program that is to use the simulator to this `file`, once it serves")
	config := flags.String("print-sshd-config", "", "write lines for the sshd_config of this `instance` to stdout, before the env-file is written")
	calls := flags.String("calls", "", "only tell how often each action was called on the simulator at this `URL`")
	addrs := map[string]string{}
	flags.Func("instance", "an instance, `ID=HOST:PORT`; may be repeated; for port 0 one is chosen that is free", func(text string) error {
		id, addr, ok := strings.Cut(text, "=")
		if !ok {
			return errors.New("it must be ID=HOST:PORT")
		}
		var err error
		addrs[id], err = freeAddr(addr)
		return err
	})
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case *calls != "":
		return printCalls(out, *calls)
	}
	sim, err := eicsim.New(eicsim.Options{Region: *region})
	if err != nil {
		return err
	}
	addAll(sim, addrs)
	if *config != "" {
		fmt.Fprintln(out, "ListenAddress", addrs[*config])
		for _, line := range sim.SSHDConfig(*config) {
			fmt.Fprintln(out, line)
		}
	}
	if *envFile != "" {
		if err := writeEnv(*envFile, sim.Env()); err != nil {
			return errors.Join(err, sim.Close())
		}
	}
	<-ends
	return sim.Close()
}

// addAll puts the instances into one VPC with one endpoint.
func addAll(sim *eicsim.Sim, addrs map[string]string) {
	const vpc, subnet = "vpc-0123456789abcdef0", "subnet-0123456789abcdef0"
	sim.AddEndpoint(eicsim.EndpointRecord{ID: "eice-0123456789abcdef0", VPC: vpc, Subnet: subnet})
	for n, id := range slices.Sorted(maps.Keys(addrs)) {
		sim.AddInstance(eicsim.Instance{
			ID: id, VPC: vpc, Subnet: subnet, PrivateIP: fmt.Sprintf("10.0.2.%d", 10+n), Addr: addrs[id],
			Tags: map[string]string{"Name": fmt.Sprintf("demo-%d", n+1)},
		})
	}
}

// freeAddr gives an address a port if it has none. Somebody may take it until it is
// used, which a demonstration can live with.
func freeAddr(addr string) (string, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("it must be ID=HOST:PORT: %w", err)
	}
	if port != "0" {
		return addr, nil
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// writeEnv writes a file that a shell reads, whole or not at all.
func writeEnv(path string, env map[string]string) error {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(&b, "export %s='%s'\n", name, strings.ReplaceAll(env[name], "'", `'\''`))
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write the environment: %w", err)
	}
	_, err = file.WriteString(b.String())
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the environment: %w", errors.Join(err, os.Remove(file.Name())))
	}
	return nil
}

// printCalls tells a running simulator's counts, one a line.
func printCalls(out io.Writer, url string) error {
	response, err := http.Get(url + "/_sim/calls")
	if err != nil {
		return fmt.Errorf("ask the simulator: %w", err)
	}
	defer response.Body.Close()
	var counts map[string]int
	if err := json.NewDecoder(response.Body).Decode(&counts); err != nil {
		return fmt.Errorf("read the simulator's answer: %w", err)
	}
	for _, action := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintln(out, action, counts[action])
	}
	return nil
}
