"""Users: people with a name, a role and a project, who sign in with a password or through an OIDC provider."""
