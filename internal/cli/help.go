package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// helpColumns is how wide a help text may be.
const helpColumns = 100

// setUsage gives root, and all commands below it, a usage text no wider than a window, and
// leaves out that a switch can be =true or =false.
func setUsage(root *cobra.Command) {
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "Flags.FlagUsages", fmt.Sprintf("Flags.FlagUsagesWrapped %d", helpColumns)))
	usage := root.UsageFunc()
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		out := cmd.OutOrStderr()
		var text bytes.Buffer
		cmd.SetOut(&text)
		err := usage(cmd)
		cmd.SetOut(out)
		if err == nil {
			_, err = out.Write([]byte(withoutSwitchValues(text.String())))
		}
		return err
	})
}

// withoutSwitchValues takes "[=true|false]" out of a usage text, and closes the gap.
func withoutSwitchValues(text string) string {
	const values = "[=true|false]"
	blocks := strings.Split(text, "\n\n")
	for i, block := range blocks {
		if strings.Contains(block, values) {
			blanked := strings.ReplaceAll(block, values, strings.Repeat(" ", len(values)))
			blocks[i] = closeGap(strings.Split(blanked, "\n"))
		}
	}
	return strings.Join(blocks, "\n\n")
}

// closeGap moves the texts of flags to the left, up to the longest flag.
func closeGap(lines []string) string {
	const between = "   "
	textAt, longest := 0, 0
	for _, line := range lines {
		flag, text, found := strings.Cut(strings.TrimLeft(line, " "), between)
		if !found || !strings.HasPrefix(flag, "-") {
			continue
		}
		longest = max(longest, strings.Index(line, flag)+len(flag))
		textAt = len(line) - len(strings.TrimLeft(text, " "))
	}
	for i, line := range lines {
		if longest+len(between) < textAt && textAt <= len(line) && strings.HasPrefix(line, " ") {
			lines[i] = line[:longest+len(between)] + line[textAt:]
		}
	}
	return strings.Join(lines, "\n")
}

// newHelp tells more of a command. cobra's own knows neither our errors nor our
// completions.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Show the help of a command",
		Example: "  sallyport help exec",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			about, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, below := range about.Commands() {
				if below.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(below.Name(), below.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			about := cmd.Root()
			for _, name := range args {
				below, _, err := about.Find([]string{name})
				if err != nil || below == about {
					return unknownCommand(about, name)
				}
				about = below
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}
