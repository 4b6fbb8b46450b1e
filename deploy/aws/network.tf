data "aws_vpc" "this" {
  id = var.vpc_id
}

# A VPC takes one endpoint, and so the old one goes before a new one is made.
resource "aws_ec2_instance_connect_endpoint" "this" {
  subnet_id          = var.subnet_id
  security_group_ids = [aws_security_group.endpoint.id]
  preserve_client_ip = var.preserve_client_ip
  tags               = merge(var.tags, { Name = var.name })
}

resource "aws_security_group" "endpoint" {
  name        = "${var.name}-endpoint"
  description = "EC2 Instance Connect Endpoint of Sallyport"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-endpoint" })
}

# Nothing may come in, and nothing may go out but this. What comes from
# workspaces is the answer to it, which a security group always lets through.
resource "aws_vpc_security_group_egress_rule" "endpoint_to_workspaces" {
  security_group_id            = aws_security_group.endpoint.id
  description                  = "SSH to workspaces"
  referenced_security_group_id = aws_security_group.workspaces.id
  ip_protocol                  = "tcp"
  from_port                    = 22
  to_port                      = 22
}

# For workspaces to carry, beside the group that gives them what they need
# themselves: this one lets nothing out.
resource "aws_security_group" "workspaces" {
  name        = "${var.name}-workspaces"
  description = "What Sallyport reaches through its endpoint"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${var.name}-workspaces" })
}

resource "aws_vpc_security_group_ingress_rule" "workspaces_from_endpoint" {
  security_group_id            = aws_security_group.workspaces.id
  description                  = "SSH from the endpoint"
  referenced_security_group_id = aws_security_group.endpoint.id
  ip_protocol                  = "tcp"
  from_port                    = 22
  to_port                      = 22
}
