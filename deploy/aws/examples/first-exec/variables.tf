variable "region" {
  description = "The region that all of it is made in."
  type        = string
  default     = "us-east-2"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region looks like us-east-2."
  }
}

variable "name" {
  description = "What the names of all that is made here begin with."
  type        = string
  default     = "sallyport"
}

variable "vpc_cidr" {
  description = "The addresses of the new VPC."
  type        = string
  default     = "10.0.0.0/16"

  validation {
    condition     = can(cidrsubnet(var.vpc_cidr, 8, 1)) && can(regex("/(16|17|18|19|20)$", var.vpc_cidr))
    error_message = "vpc_cidr is an IPv4 network from /16 to /20, such as 10.0.0.0/16."
  }
}

variable "instance_type" {
  description = "The type of the instance, of the architecture x86_64."
  type        = string
  default     = "t3.micro"
}

variable "server_role_name" {
  description = "The role that the server runs under, by its name. Without it, attach the output server_policy_arn to whom the server is."
  type        = string
  default     = null
}
