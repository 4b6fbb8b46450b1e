output "instance_id" {
  description = "The instance that becomes the first workspace."
  value       = aws_instance.workspace.id
}

output "server_policy_arn" {
  description = "The policy of the server, attached already when server_role_name was given."
  value       = module.sallyport.server_policy_arn
}

output "first_exec" {
  description = "What to type next."
  value       = <<-EOT
    sallyport workspaces add first --eic ${aws_instance.workspace.id} --region ${var.region}
    sallyport doctor first
    sallyport exec first -- uname -a
  EOT
}
