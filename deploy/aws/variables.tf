variable "name" {
  description = "What the names of all that is made here begin with."
  type        = string
  default     = "sallyport"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,31}$", var.name)) && !startswith(lower(var.name), "sg-")
    error_message = "name is 1 to 32 letters, digits and hyphens, and begins with a letter and not with sg-."
  }
}

variable "vpc_id" {
  description = "The VPC that the workspaces are in."
  type        = string

  validation {
    condition     = can(regex("^vpc-[0-9a-f]+$", var.vpc_id))
    error_message = "vpc_id looks like vpc-0123456789abcdef0."
  }
}

variable "subnet_id" {
  description = "The subnet of that VPC that the endpoint stands in. It needs no way to the internet."
  type        = string

  validation {
    condition     = can(regex("^subnet-[0-9a-f]+$", var.subnet_id))
    error_message = "subnet_id looks like subnet-0123456789abcdef0."
  }
}

variable "preserve_client_ip" {
  description = "Whether workspaces see the server's address instead of the endpoint's."
  type        = bool
  default     = false
}

variable "os_users" {
  description = "The users that the server may log in as on workspaces."
  type        = list(string)
  default     = ["ec2-user"]

  validation {
    condition     = length(var.os_users) > 0 && alltrue([for user in var.os_users : can(regex("^[A-Za-z_][A-Za-z0-9@._-]{0,31}$", user))])
    error_message = "os_users has at least one user, and each is 1 to 32 characters, such as ec2-user or ubuntu; * and ? are not taken."
  }
}

variable "tag_key" {
  description = "The key of the tag that makes an instance a workspace: no other instance takes a key from the server."
  type        = string
  default     = "sallyport"

  validation {
    condition     = can(regex("^[A-Za-z0-9_.:/=+@-]{1,128}$", var.tag_key)) && !startswith(lower(var.tag_key), "aws:")
    error_message = "tag_key is 1 to 128 characters without blanks, and doesn't begin with aws:."
  }
}

variable "tag_value" {
  description = "The value of that tag."
  type        = string
  default     = "workspace"

  validation {
    condition     = can(regex("^[A-Za-z0-9_.:/=+@-]{1,256}$", var.tag_value))
    error_message = "tag_value is 1 to 256 characters without blanks; * and ? are not taken."
  }
}

variable "tunnel_duration_max" {
  description = "The longest life of a tunnel that may be asked for, in seconds. At least eic.tunnel_duration of the server."
  type        = number
  default     = 3600

  validation {
    condition     = var.tunnel_duration_max >= 1 && var.tunnel_duration_max <= 3600 && floor(var.tunnel_duration_max) == var.tunnel_duration_max
    error_message = "tunnel_duration_max is a whole number from 1 to 3600."
  }
}

variable "server_role_name" {
  description = "The role that the server runs under, by its name: the policy is attached to it. Without it, attach the output server_policy_arn yourself."
  type        = string
  default     = null

  validation {
    condition     = var.server_role_name == null || can(regex("^[A-Za-z0-9_+=,.@-]{1,64}$", var.server_role_name))
    error_message = "server_role_name is a role's name, not its ARN."
  }
}

variable "direct_access" {
  description = "Whether the server opens workspaces with its own credentials. When false it can only assume the organisations' roles."
  type        = bool
  default     = true

  validation {
    condition     = var.direct_access || length(var.organisations) > 0
    error_message = "Without direct_access and without organisations the server could reach nothing."
  }
}

variable "organisations" {
  description = "Organisations with a role of their own, by their names in Sallyport. Each role opens instances that carry the organisation's tag, and no others."
  type = map(object({
    external_id = string
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.organisations) : can(regex("^[a-z0-9][a-z0-9-]{0,62}$", name)) && length("${var.name}-org-${name}") <= 64])
    error_message = "A key of organisations is an organisation's name: small letters, digits and hyphens; with name and -org- before it 64 characters at most, as a role's name takes."
  }

  validation {
    condition     = alltrue([for organisation in values(var.organisations) : can(regex("^[A-Za-z0-9+=,.@:/_-]{16,256}$", organisation.external_id))])
    error_message = "An external_id is 16 to 256 letters, digits and +=,.@:/_-. Take a random one, such as a UUID."
  }

  validation {
    condition     = length(distinct([for organisation in values(var.organisations) : organisation.external_id])) == length(var.organisations)
    error_message = "Each organisation has an external_id of its own."
  }

  validation {
    condition     = length(var.organisations) == 0 || length(var.server_principal_arns) > 0
    error_message = "The organisations' roles need server_principal_arns: who may assume them."
  }
}

variable "organisation_tag_key" {
  description = "The key of the tag whose value is the organisation that an instance belongs to."
  type        = string
  default     = "sallyport-organisation"

  validation {
    condition     = can(regex("^[A-Za-z0-9_.:/=+@-]{1,128}$", var.organisation_tag_key)) && !startswith(lower(var.organisation_tag_key), "aws:") && lower(var.organisation_tag_key) != lower(var.tag_key)
    error_message = "organisation_tag_key is 1 to 128 characters without blanks, doesn't begin with aws:, and isn't tag_key."
  }
}

variable "server_principal_arns" {
  description = "Who may assume the organisations' roles: the ARN of the role that the server runs under."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.server_principal_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/[A-Za-z0-9_+=,.@/-]+$", arn))])
    error_message = "server_principal_arns are ARNs of IAM roles or users; * is not taken, nor a whole account."
  }
}

variable "tags" {
  description = "Tags for all that is made here."
  type        = map(string)
  default     = {}
}
