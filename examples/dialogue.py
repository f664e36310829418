from llmos import Client

client = Client(endpoint="http://127.0.0.1:8000")
model = client.models.get("dialogue")
response = model.generate_text(prompt="The meaning of life is")
print(response.text)
