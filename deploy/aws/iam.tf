data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  instances_arn = "arn:${data.aws_partition.current.partition}:ec2:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:instance/*"

  # Every address that the VPC has, those that were added to it later too.
  vpc_cidrs = distinct(concat([data.aws_vpc.this.cidr_block], data.aws_vpc.this.cidr_block_associations[*].cidr_block))

  # The tags that an instance must carry, for the server itself and for each
  # organisation. No organisation is called *.
  required_tags = merge(
    var.direct_access ? { "*" = { (var.tag_key) = var.tag_value } } : {},
    { for name in keys(var.organisations) : name => { (var.tag_key) = var.tag_value, (var.organisation_tag_key) = name } },
  )
}

# The least that opens a workspace.
data "aws_iam_policy_document" "open" {
  for_each = local.required_tags

  # AWS knows no resources for these two.
  statement {
    sid       = "Find"
    actions   = ["ec2:DescribeInstances", "ec2:DescribeInstanceConnectEndpoints"]
    resources = ["*"]
  }

  statement {
    sid       = "PushKey"
    actions   = ["ec2-instance-connect:SendSSHPublicKey"]
    resources = [local.instances_arn]

    condition {
      test     = "StringEquals"
      variable = "ec2:osuser"
      values   = var.os_users
    }

    dynamic "condition" {
      for_each = each.value

      content {
        test     = "StringEquals"
        variable = "aws:ResourceTag/${condition.key}"
        values   = [condition.value]
      }
    }
  }

  statement {
    sid       = "OpenTunnel"
    actions   = ["ec2-instance-connect:OpenTunnel"]
    resources = [aws_ec2_instance_connect_endpoint.this.arn]

    condition {
      test     = "NumericEquals"
      variable = "ec2-instance-connect:remotePort"
      values   = ["22"]
    }

    condition {
      test     = "IpAddress"
      variable = "ec2-instance-connect:privateIpAddress"
      values   = local.vpc_cidrs
    }

    condition {
      test     = "NumericLessThanEquals"
      variable = "ec2-instance-connect:maxTunnelDuration"
      values   = [tostring(var.tunnel_duration_max)]
    }
  }
}

data "aws_iam_policy_document" "assume" {
  count = length(var.organisations) > 0 ? 1 : 0

  statement {
    sid       = "AssumeOrganisations"
    actions   = ["sts:AssumeRole"]
    resources = [for role in aws_iam_role.organisation : role.arn]
  }
}

data "aws_iam_policy_document" "server" {
  source_policy_documents = concat(
    var.direct_access ? [data.aws_iam_policy_document.open["*"].json] : [],
    data.aws_iam_policy_document.assume[*].json,
  )
}

resource "aws_iam_policy" "server" {
  name        = "${var.name}-server"
  description = "What a Sallyport server needs to reach workspaces"
  policy      = data.aws_iam_policy_document.server.json
  tags        = var.tags
}

resource "aws_iam_role_policy_attachment" "server" {
  count = var.server_role_name == null ? 0 : 1

  role       = var.server_role_name
  policy_arn = aws_iam_policy.server.arn
}

data "aws_iam_policy_document" "trust" {
  for_each = var.organisations

  statement {
    sid     = "Server"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = var.server_principal_arns
    }

    condition {
      test     = "StringEquals"
      variable = "sts:ExternalId"
      values   = [each.value.external_id]
    }
  }
}

resource "aws_iam_role" "organisation" {
  for_each = var.organisations

  name               = "${var.name}-org-${each.key}"
  description        = "Opens the workspaces of Sallyport's organisation ${each.key}"
  assume_role_policy = data.aws_iam_policy_document.trust[each.key].json
  tags               = var.tags
}

resource "aws_iam_role_policy" "organisation" {
  for_each = var.organisations

  name   = "open-workspaces"
  role   = aws_iam_role.organisation[each.key].id
  policy = data.aws_iam_policy_document.open[each.key].json
}
