"""Alerts: shares of budgets, plans and credit that are used up, told to webhooks once each."""
