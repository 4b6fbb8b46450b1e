package deploy

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// What AWS would answer.
const (
	endpointARN = "arn:aws:ec2:us-east-2:111122223333:instance-connect-endpoint/eice-0123456789abcdef0"
	instanceARN = "arn:aws:ec2:us-east-2:111122223333:instance/*"
	acmeRoleARN = "arn:aws:iam::111122223333:role/sallyport-org-acme"
	serverARN   = "arn:aws:iam::111122223333:role/sallyport-server"
)

// statement is one of an IAM policy. A condition is called by its operator and
// its key.
type statement struct {
	Sid        string
	Effect     string // "" is Allow
	Actions    []string
	Resources  []string
	Principals []string
	Conditions map[string][]string
}

var functions = map[string]function.Function{
	"alltrue": function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			for _, v := range args[0].AsValueSlice() {
				if v.False() {
					return cty.False, nil
				}
			}
			return cty.True, nil
		},
	}),
	"startswith": function.New(&function.Spec{
		Params: []function.Parameter{{Name: "s", Type: cty.String}, {Name: "prefix", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(strings.HasPrefix(args[0].AsString(), args[1].AsString())), nil
		},
	}),
	"tostring": stdlib.MakeToFunc(cty.String),
	"can":      tryfunc.CanFunc,
	"concat":   stdlib.ConcatFunc,
	"distinct": stdlib.DistinctFunc,
	"floor":    stdlib.FloorFunc,
	"keys":     stdlib.KeysFunc,
	"length":   lengthFunc,
	"lower":    stdlib.LowerFunc,
	"merge":    stdlib.MergeFunc,
	"regex":    stdlib.RegexFunc,
	"values":   stdlib.ValuesFunc,
}

// lengthFunc is Terraform's, which takes text too.
var lengthFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "of", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if args[0].Type() == cty.String {
			return stdlib.Strlen(args[0])
		}
		return stdlib.Length(args[0])
	},
})

// scope is what the module's expressions see: its variables as given, what AWS
// would answer, and its locals.
func scope(t *testing.T, m *module, given map[string]cty.Value) *hcl.EvalContext {
	t.Helper()
	text := func(pairs ...string) cty.Value {
		object := map[string]cty.Value{}
		for i := 0; i < len(pairs); i += 2 {
			object[pairs[i]] = cty.StringVal(pairs[i+1])
		}
		return cty.ObjectVal(object)
	}
	this := func(name string, v cty.Value) cty.Value { return cty.ObjectVal(map[string]cty.Value{name: v}) }
	ctx := &hcl.EvalContext{Functions: functions, Variables: map[string]cty.Value{
		"var": cty.ObjectVal(variables(t, m, given)),
		"data": cty.ObjectVal(map[string]cty.Value{
			"aws_vpc": this("this", cty.ObjectVal(map[string]cty.Value{
				"cidr_block":              cty.StringVal("10.0.0.0/16"),
				"cidr_block_associations": cty.ListVal([]cty.Value{text("cidr_block", "10.0.0.0/16"), text("cidr_block", "10.9.0.0/16")}),
			})),
			"aws_caller_identity": this("current", text("account_id", "111122223333")),
			"aws_partition":       this("current", text("partition", "aws")),
			"aws_region":          this("current", text("region", "us-east-2")),
		}),
		"aws_ec2_instance_connect_endpoint": this("this", text("arn", endpointARN)),
		"aws_iam_role":                      this("organisation", this("acme", text("arn", acmeRoleARN))),
	}}
	locals := map[string]hcl.Expression{}
	for name, node := range m.declared {
		if local, ok := strings.CutPrefix(name, "local."); ok {
			locals[local] = node.(*hclsyntax.Attribute).Expr
		}
	}
	known := map[string]cty.Value{}
	for range len(locals) + 1 { // one may stand on another
		ctx.Variables["local"] = cty.ObjectVal(known)
		for name, expression := range locals {
			if v, diagnostics := expression.Value(ctx); !diagnostics.HasErrors() {
				known[name] = v
			}
		}
	}
	if len(known) != len(locals) {
		t.Fatalf("of the locals %v only %v have a value", slices.Sorted(maps.Keys(locals)), slices.Sorted(maps.Keys(known)))
	}
	return ctx
}

// variables are those of the module: what is given, else their defaults, each
// of the type that it says.
func variables(t *testing.T, m *module, given map[string]cty.Value) map[string]cty.Value {
	t.Helper()
	values := map[string]cty.Value{}
	for _, b := range m.blocks {
		if b.Type != "variable" {
			continue
		}
		kind, diagnostics := typeexpr.TypeConstraint(b.Body.Attributes["type"].Expr)
		fail(t, diagnostics)
		v, ok := given[b.Labels[0]]
		if !ok {
			v, diagnostics = b.Body.Attributes["default"].Expr.Value(nil)
			fail(t, diagnostics)
		}
		v, err := convert.Convert(v, kind)
		if err != nil {
			t.Fatalf("%s: %v", b.Labels[0], err)
		}
		values[b.Labels[0]] = v
	}
	for name := range given {
		if _, ok := values[name]; !ok {
			t.Fatalf("there is no variable %s", name)
		}
	}
	return values
}

// refusals are the variables whose validations refuse what is given.
func refusals(t *testing.T, m *module, given map[string]cty.Value) []string {
	t.Helper()
	ctx := &hcl.EvalContext{Functions: functions, Variables: map[string]cty.Value{"var": cty.ObjectVal(variables(t, m, given))}}
	var refused []string
	for _, b := range m.blocks {
		for _, inner := range b.Body.Blocks {
			if b.Type != "variable" || inner.Type != "validation" {
				continue
			}
			ok, diagnostics := inner.Body.Attributes["condition"].Expr.Value(ctx)
			fail(t, diagnostics)
			if ok.False() && !slices.Contains(refused, b.Labels[0]) {
				refused = append(refused, b.Labels[0])
			}
		}
	}
	return refused
}

// policies are the documents of one name by the keys of their for_each, or by ""
// where there is one.
func policies(t *testing.T, m *module, name string, given map[string]cty.Value) map[string][]statement {
	t.Helper()
	b, ok := m.declared["data.aws_iam_policy_document."+name].(*hclsyntax.Block)
	if !ok {
		t.Fatalf("there is no policy document %s", name)
	}
	ctx := scope(t, m, given)
	each, ok := b.Body.Attributes["for_each"]
	if !ok {
		return map[string][]statement{"": statements(t, b.Body, ctx)}
	}
	over, diagnostics := each.Expr.Value(ctx)
	fail(t, diagnostics)
	documents := map[string][]statement{}
	for key, value := range over.AsValueMap() {
		inner := ctx.NewChild()
		inner.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": cty.StringVal(key), "value": value})}
		documents[key] = statements(t, b.Body, inner)
	}
	return documents
}

// attributes and blocks of each kind of block in a policy document; anything
// else fails the test.
var (
	documentSchema = &hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "for_each"}, {Name: "count"}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: "statement"}},
	}
	statementSchema = &hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "sid"}, {Name: "effect"}, {Name: "actions"}, {Name: "resources"}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: "principals"}, {Type: "condition"}},
	}
	principalsSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "type"}, {Name: "identifiers"}}}
	conditionSchema  = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "test"}, {Name: "variable"}, {Name: "values"}}}
)

func statements(t *testing.T, body hcl.Body, ctx *hcl.EvalContext) []statement {
	t.Helper()
	content, diagnostics := dynblock.Expand(body, ctx).Content(documentSchema)
	fail(t, diagnostics)
	var all []statement
	for _, b := range content.Blocks {
		inner, diagnostics := b.Body.Content(statementSchema)
		fail(t, diagnostics)
		s := statement{
			Sid:       strings.Join(words(t, inner, "sid", ctx), ""),
			Effect:    strings.Join(words(t, inner, "effect", ctx), ""),
			Actions:   words(t, inner, "actions", ctx),
			Resources: words(t, inner, "resources", ctx),
		}
		for _, part := range inner.Blocks {
			if part.Type == "principals" {
				who, diagnostics := part.Body.Content(principalsSchema)
				fail(t, diagnostics)
				kind := words(t, who, "type", ctx)[0]
				for _, identifier := range words(t, who, "identifiers", ctx) {
					s.Principals = append(s.Principals, kind+" "+identifier)
				}
				continue
			}
			condition, diagnostics := part.Body.Content(conditionSchema)
			fail(t, diagnostics)
			if s.Conditions == nil {
				s.Conditions = map[string][]string{}
			}
			name := words(t, condition, "test", ctx)[0] + " " + words(t, condition, "variable", ctx)[0]
			if s.Conditions[name] != nil {
				t.Errorf("%s: %s is there twice", s.Sid, name)
			}
			s.Conditions[name] = words(t, condition, "values", ctx)
		}
		all = append(all, s)
	}
	return all
}

// words are the strings of an attribute that is a string or a list of them.
func words(t *testing.T, content *hcl.BodyContent, name string, ctx *hcl.EvalContext) []string {
	t.Helper()
	a, ok := content.Attributes[name]
	if !ok {
		return nil
	}
	v, diagnostics := a.Expr.Value(ctx)
	fail(t, diagnostics)
	if v.Type() == cty.String {
		return []string{v.AsString()}
	}
	var all []string
	for _, element := range v.AsValueSlice() {
		all = append(all, element.AsString())
	}
	return all
}

func fail(t *testing.T, diagnostics hcl.Diagnostics) {
	t.Helper()
	if diagnostics.HasErrors() {
		t.Fatal(diagnostics.Error())
	}
}
