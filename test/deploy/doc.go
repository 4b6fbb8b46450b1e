// Package deploy holds what is in deploy/aws to what Terraform would say of it
// without an account, and its IAM policies to the least that opens a workspace.
package deploy
