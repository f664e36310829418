# "gpt-3" is a route like any other: llmos route set gpt-3 smollm2
from llmos import Client

client = Client(endpoint="http://127.0.0.1:8000")
model = client.models.get("gpt-3")
response = model.generate_text(prompt="The meaning of life is")
print(response.text)
