terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0, < 7.0"
    }
  }
}

provider "aws" {
  region = var.region
}

# No internet gateway, no NAT gateway, no public address: nothing here can be
# reached but through the endpoint.
resource "aws_vpc" "this" {
  cidr_block = var.vpc_cidr
  tags       = { Name = var.name }
}

resource "aws_subnet" "private" {
  vpc_id     = aws_vpc.this.id
  cidr_block = cidrsubnet(var.vpc_cidr, 8, 1)
  tags       = { Name = "${var.name}-private" }
}

module "sallyport" {
  source = "../.."

  name             = var.name
  vpc_id           = aws_vpc.this.id
  subnet_id        = aws_subnet.private.id
  server_role_name = var.server_role_name
}

# Amazon Linux 2023 has ec2-instance-connect, so nothing has to be installed,
# and no user data is needed.
data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
}

resource "aws_instance" "workspace" {
  ami                         = data.aws_ssm_parameter.image.insecure_value
  instance_type               = var.instance_type
  subnet_id                   = aws_subnet.private.id
  vpc_security_group_ids      = [module.sallyport.workspace_security_group_id]
  associate_public_ip_address = false
  tags                        = merge(module.sallyport.workspace_tags, { Name = "${var.name}-first" })

  # sshd reads the pushed key from the metadata service, so it stays on.
  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }

  # A newer image is no reason to make the machine anew.
  lifecycle {
    ignore_changes = [ami]
  }
}
