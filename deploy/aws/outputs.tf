output "endpoint_id" {
  description = "The endpoint, for a workspace's connector.endpoint_id. A server finds it by itself."
  value       = aws_ec2_instance_connect_endpoint.this.id
}

output "endpoint_dns_name" {
  description = "The name that the server must be able to reach on port 443."
  value       = aws_ec2_instance_connect_endpoint.this.dns_name
}

output "endpoint_security_group_id" {
  description = "The endpoint's security group, for rules of yours."
  value       = aws_security_group.endpoint.id
}

output "workspace_security_group_id" {
  description = "The security group for workspaces to carry."
  value       = aws_security_group.workspaces.id
}

output "workspace_tags" {
  description = "The tags for workspaces to carry; those of an organisation with a role carry its name besides, under organisation_tag_key."
  value       = { (var.tag_key) = var.tag_value }
}

output "server_policy_arn" {
  description = "The policy of the server, attached already when server_role_name was given."
  value       = aws_iam_policy.server.arn
}

output "organisation_settings" {
  description = "For each organisation with a role, the body of PATCH /orgs/{org}."
  value = {
    for name, organisation in var.organisations : name => {
      aws = {
        role_arn    = aws_iam_role.organisation[name].arn
        external_id = organisation.external_id
      }
    }
  }
}
