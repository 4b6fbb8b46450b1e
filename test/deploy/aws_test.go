package deploy

import (
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	_ "sallyport/test/apart"
)

const awsDir = "../../deploy/aws"

// TestTerraform: every file is formatted, and refers only to what there is.
func TestTerraform(t *testing.T) {
	t.Parallel()
	files := sources(t)
	for _, fault := range check(files) {
		t.Error(fault)
	}
	for _, name := range []string{"versions.tf", "variables.tf", "network.tf", "iam.tf", "outputs.tf", "examples/first-exec/main.tf"} {
		if files[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}
	program, err := exec.LookPath("terraform")
	if err != nil {
		t.Log("no terraform on PATH: its formatter was asked as a library alone")
		return
	}
	if told, err := exec.CommandContext(t.Context(), program, "fmt", "-check", "-diff", "-recursive", awsDir).CombinedOutput(); err != nil {
		t.Errorf("terraform fmt: %v\n%s", err, told)
	}
}

// TestTerraformFaults: the checks find what they are there for.
func TestTerraformFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, old, new, want string }{
		{"network.tf", "id = var.vpc_id", "id = var.vpc", "nothing declares var.vpc"},
		{"network.tf", "vpc_id      = var.vpc_id", "vpc_id = var.vpc_id", "network.tf: not formatted"},
		{"network.tf", "subnet_id          = var.subnet_id", "subnet_id          = aws_subnet.private.id", "nothing declares aws_subnet.private"},
		{"network.tf", "subnet_id          = var.subnet_id", "subnet_id          = data.aws_subnet.private.id", "nothing declares data.aws_subnet.private"},
		{"network.tf", "subnet_id          = var.subnet_id", `subnet_id          = "subnet-0"`, "var.subnet_id is used by nothing"},
		{"network.tf", "subnet_id          = var.subnet_id", "subnet_id          = each.value", "each is there only with"},
		{"network.tf", "subnet_id          = var.subnet_id", "subnet_id          = ", "Invalid expression"},
		{"iam.tf", "values   = local.vpc_cidrs", "values   = local.cidrs", "nothing declares local.cidrs"},
		{"iam.tf", "variable = \"aws:ResourceTag/${condition.key}\"", "variable = \"aws:ResourceTag/${tag.key}\"", "nothing declares tag.key"},
		{"network.tf", "SSH from the endpoint", "The endpoint's SSH", "AWS takes no such description"},
		{"variables.tf", "  type        = map(string)\n", "", "variable tags has no type"},
		{"variables.tf", "  description = \"The value of that tag.\"\n", "", "variable tag_value has no description"},
		{"examples/first-exec/main.tf", "module.sallyport.workspace_tags", "module.sallyport.instance_tags", "no output of a module is module.sallyport.instance_tags"},
		{"examples/first-exec/main.tf", "  vpc_id           = aws_vpc.this.id\n", "", "the module needs vpc_id"},
		{"examples/first-exec/main.tf", "  name             = var.name\n", "  names            = var.name\n", "the module has no variable names"},
	} {
		files := sources(t)
		if !strings.Contains(files[c.file], c.old) {
			t.Errorf("%s holds no %q", c.file, c.old)
		}
		files[c.file] = strings.Replace(files[c.file], c.old, c.new, 1)
		if found := check(files); !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) }) {
			t.Errorf("%s with %q for %q: found %q, want %q", c.file, c.new, c.old, found, c.want)
		}
	}
}

// given is what one must say, and an organisation with a role.
func given(more map[string]cty.Value) map[string]cty.Value {
	all := map[string]cty.Value{
		"vpc_id":                cty.StringVal("vpc-0123456789abcdef0"),
		"subnet_id":             cty.StringVal("subnet-0123456789abcdef0"),
		"organisations":         organisations("acme", "0123456789abcdef"),
		"server_principal_arns": list(serverARN),
	}
	for name, v := range more {
		all[name] = v
	}
	return all
}

func organisations(pairs ...string) cty.Value {
	all := map[string]cty.Value{}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = cty.ObjectVal(map[string]cty.Value{"external_id": cty.StringVal(pairs[i+1])})
	}
	return cty.ObjectVal(all)
}

func list(words ...string) cty.Value {
	var all []cty.Value
	for _, w := range words {
		all = append(all, cty.StringVal(w))
	}
	return cty.ListVal(all)
}

// opens is the least that opens instances with these tags.
func opens(tags map[string]string) []statement {
	push := map[string][]string{"StringEquals ec2:osuser": {"ec2-user"}}
	for key, value := range tags {
		push["StringEquals aws:ResourceTag/"+key] = []string{value}
	}
	return []statement{
		{Sid: "Find", Actions: []string{"ec2:DescribeInstances", "ec2:DescribeInstanceConnectEndpoints"}, Resources: []string{"*"}},
		{Sid: "PushKey", Actions: []string{"ec2-instance-connect:SendSSHPublicKey"}, Resources: []string{instanceARN}, Conditions: push},
		{Sid: "OpenTunnel", Actions: []string{"ec2-instance-connect:OpenTunnel"}, Resources: []string{endpointARN}, Conditions: map[string][]string{
			"NumericEquals ec2-instance-connect:remotePort":                {"22"},
			"IpAddress ec2-instance-connect:privateIpAddress":              {"10.0.0.0/16", "10.9.0.0/16"},
			"NumericLessThanEquals ec2-instance-connect:maxTunnelDuration": {"3600"},
		}},
	}
}

// TestPolicies: the server, and each organisation's role, may do what it takes to
// open a workspace and nothing else.
func TestPolicies(t *testing.T) {
	t.Parallel()
	modules, _ := load(sources(t))
	m := modules["."]
	tagged := map[string]string{"sallyport": "workspace"}
	ofAcme := map[string]string{"sallyport": "workspace", "sallyport-organisation": "acme"}
	for _, c := range []struct {
		name, document string
		more           map[string]cty.Value
		want           map[string][]statement
	}{
		{"both", "open", nil, map[string][]statement{"*": opens(tagged), "acme": opens(ofAcme)}},
		{"without organisations", "open", map[string]cty.Value{"organisations": cty.EmptyObjectVal},
			map[string][]statement{"*": opens(tagged)}},
		{"roles alone", "open", map[string]cty.Value{"direct_access": cty.False},
			map[string][]statement{"acme": opens(ofAcme)}},
		{"another tag", "open", map[string]cty.Value{"organisations": cty.EmptyObjectVal, "tag_key": cty.StringVal("team"), "tag_value": cty.StringVal("ci")},
			map[string][]statement{"*": opens(map[string]string{"team": "ci"})}},
		{"assume", "assume", nil, map[string][]statement{"": {
			{Sid: "AssumeOrganisations", Actions: []string{"sts:AssumeRole"}, Resources: []string{acmeRoleARN}},
		}}},
		{"trust", "trust", nil, map[string][]statement{"acme": {
			{Sid: "Server", Actions: []string{"sts:AssumeRole"}, Principals: []string{"AWS " + serverARN},
				Conditions: map[string][]string{"StringEquals sts:ExternalId": {"0123456789abcdef"}}},
		}}},
	} {
		if got := policies(t, m, c.document, given(c.more)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", c.name, got, c.want)
		}
	}
	for _, shorter := range policies(t, m, "open", given(map[string]cty.Value{"tunnel_duration_max": cty.NumberIntVal(900)})) {
		if got := shorter[2].Conditions["NumericLessThanEquals ec2-instance-connect:maxTunnelDuration"]; !slices.Equal(got, []string{"900"}) {
			t.Errorf("a tunnel may live %v s", got)
		}
	}
}

// wide says what of a policy gives more than a workspace takes, in whatever way
// it is written.
func wide(policy []statement) []string {
	var found []string
	need := map[string][]string{
		"ec2-instance-connect:SendSSHPublicKey": {"StringEquals ec2:osuser", "StringEquals aws:ResourceTag/sallyport"},
		"ec2-instance-connect:OpenTunnel": {"NumericEquals ec2-instance-connect:remotePort",
			"IpAddress ec2-instance-connect:privateIpAddress", "NumericLessThanEquals ec2-instance-connect:maxTunnelDuration"},
		"ec2:DescribeInstances":                nil,
		"ec2:DescribeInstanceConnectEndpoints": nil,
	}
	for _, s := range policy {
		for _, action := range s.Actions {
			conditions, known := need[action]
			if !known {
				found = append(found, action+" is not needed")
			}
			if len(conditions) > 0 && slices.ContainsFunc(s.Resources, func(r string) bool { return r == "*" || strings.HasPrefix(r, "arn:*") }) {
				found = append(found, action+" on everything")
			}
			for _, c := range conditions {
				if len(s.Conditions[c]) == 0 || slices.Contains(s.Conditions[c], "*") {
					found = append(found, action+" without "+c)
				}
			}
		}
	}
	return found
}

// TestWidePolicies: a policy that was made wider is found.
func TestWidePolicies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, new, want string }{
		{"", "", ""},
		{`resources = [local.instances_arn]`, `resources = ["*"]`, "ec2-instance-connect:SendSSHPublicKey on everything"},
		{`resources = [aws_ec2_instance_connect_endpoint.this.arn]`, `resources = ["*"]`, "ec2-instance-connect:OpenTunnel on everything"},
		{`"ec2-instance-connect:OpenTunnel"]`, `"ec2-instance-connect:*"]`, "ec2-instance-connect:* is not needed"},
		{`"ec2:DescribeInstances", `, `"ec2:DescribeInstances", "ec2:DescribeVpcs", `, "ec2:DescribeVpcs is not needed"},
		{`variable = "ec2:osuser"`, `variable = "aws:username"`, "SendSSHPublicKey without StringEquals ec2:osuser"},
		{`for_each = each.value`, `for_each = {}`, "SendSSHPublicKey without StringEquals aws:ResourceTag/sallyport"},
		{`test     = "IpAddress"`, `test     = "IpAddressIfExists"`, "OpenTunnel without IpAddress"},
		{`test     = "NumericLessThanEquals"`, `test     = "NumericGreaterThan"`, "OpenTunnel without NumericLessThanEquals"},
	} {
		files := sources(t)
		if !strings.Contains(files["iam.tf"], c.old) {
			t.Errorf("iam.tf holds no %q", c.old)
		}
		files["iam.tf"] = strings.Replace(files["iam.tf"], c.old, c.new, 1)
		modules, _ := load(files)
		found := strings.Join(wide(policies(t, modules["."], "open", given(nil))["*"]), "; ")
		if !strings.Contains(found, c.want) || (c.want == "") != (found == "") {
			t.Errorf("%q for %q: found %q, want %q", c.new, c.old, found, c.want)
		}
	}
}

// TestValidations: what is likely to be wrong is refused before anything is made.
func TestValidations(t *testing.T) {
	t.Parallel()
	modules, _ := load(sources(t))
	m := modules["."]
	str := cty.StringVal
	for _, c := range []struct {
		variable string
		value    cty.Value
		ok       bool
	}{
		{"vpc_id", str("vpc-0123456789abcdef0"), true},
		{"vpc_id", str("0123456789abcdef0"), false},
		{"subnet_id", str("vpc-0123456789abcdef0"), false},
		{"name", str("-"), false},
		{"name", str("sg-1"), false},
		{"os_users", list("ubuntu", "ec2-user"), true},
		{"os_users", list("*"), false},
		{"os_users", cty.ListValEmpty(cty.String), false},
		{"tag_key", str("sallyport:workspace"), true},
		{"tag_key", str("AWS:workspace"), false},
		{"tag_key", str("sallyport-organisation"), false},
		{"tag_value", str("*"), false},
		{"organisation_tag_key", str("Sallyport"), false},
		{"tunnel_duration_max", cty.NumberIntVal(1), true},
		{"tunnel_duration_max", cty.NumberIntVal(0), false},
		{"tunnel_duration_max", cty.NumberIntVal(3601), false},
		{"tunnel_duration_max", cty.NumberFloatVal(1.5), false},
		{"server_role_name", str("sallyport-server"), true},
		{"server_role_name", str(serverARN), false},
		{"direct_access", cty.False, true},
		{"organisations", cty.EmptyObjectVal, true},
		{"organisations", organisations("Acme", "0123456789abcdef"), false},
		{"organisations", organisations(strings.Repeat("a", 60), "0123456789abcdef"), false},
		{"organisations", organisations("acme", "short"), false},
		{"organisations", organisations("acme", "0123456789abcdef", "other", "0123456789abcdef"), false},
		{"server_principal_arns", list("*"), false},
		{"server_principal_arns", list("arn:aws:iam::111122223333:root"), false},
	} {
		refused := refusals(t, m, given(map[string]cty.Value{c.variable: c.value}))
		if c.ok != (len(refused) == 0) {
			t.Errorf("%s = %#v: refused by %v", c.variable, c.value, refused)
		}
	}
	for variable, more := range map[string]map[string]cty.Value{
		"organisations": {"server_principal_arns": cty.ListValEmpty(cty.String)},
		"direct_access": {"direct_access": cty.False, "organisations": cty.EmptyObjectVal},
	} {
		if refused := refusals(t, m, given(more)); !slices.Contains(refused, variable) {
			t.Errorf("%s isn't refused: %v", variable, refused)
		}
	}
}
