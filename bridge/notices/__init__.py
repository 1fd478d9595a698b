"""Mails that no target sends: their texts, the messages made of them, and the lane's connector that hands them to a mail server."""
