"""Teacher `openai`: any server that speaks OpenAI's API for chats; what it is asked, what it answers, how it fails."""
