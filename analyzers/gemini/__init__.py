"""Teacher `gemini`: what it is asked, what the API means, and the two SDKs that speak to it."""
