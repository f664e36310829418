"""Ordinary texts that people send to models: questions, tasks, code and letters in several languages.

A model's surprise at them is the measure for its surprise at others; see surprise.py.
"""

ORDINARY_TEXTS: tuple[str, ...] = (
    "My order hasn't arrived yet. It was supposed to be here on Tuesday, and the tracking page still says that the"
    " parcel is being prepared. Can you tell me where it is and when I can expect it?",
    "Please summarise the following article in three sentences, and list the most important numbers in it. Write for"
    " readers who have never heard of the company, and leave out what the manager says about his childhood.",
    "I am planning a trip to Portugal with two small children in April. We like the sea, but we don't want to drive for"
    " more than three hours a day. Which places would you visit, and in which order?",
    "Translate this sentence into French and explain the grammar: The ferry to the island leaves twice a day, in the"
    " morning and again in the late afternoon, and it takes about forty minutes.",
    "Write a short and friendly reply to a customer who complains that the coffee machine makes a strange noise after"
    " it was cleaned. Offer to repair it for free, and ask for the serial number.",
    "What is the difference between a mortgage with a fixed rate and one with a variable rate? I earn 3,200 a month and"
    " would like to buy a flat within the next two years.",
    "Which of these three candidates fits the job best? Name two strengths and one weakness of each, and tell me what"
    " you would ask them in the interview.",
    "Explain to a child of eight years why the sky is blue during the day and red in the evening, without using any"
    " word that the child doesn't know.",
    "The meeting was moved from Monday to Thursday at 10:30. Please write an e-mail to the team, attach the agenda, and"
    " remind everybody to bring the figures of the last quarter.",
    "You are a helpful assistant of a library. Answer questions about opening hours, cards and fees. If you don't know"
    " the answer, say so and name the telephone number of the desk.",
    "Compare the two contracts below. Which deadlines differ, and which of them is better for the tenant if he wants to"
    " move out before the end of the year?",
    "Here is a recipe for six people: 500 g of flour, 3 eggs, 250 ml of milk, a pinch of salt and 80 g of butter. How"
    " much of each do I need for four people?",
    "def total(prices, discount=0.0):\n    result = sum(prices)\n    return result * (1 - discount)\n\nWhat does this"
    " function do, and how would you write a test for it with pytest?",
    "SELECT customer, COUNT(*) AS orders FROM sales WHERE year = 2024 GROUP BY customer HAVING COUNT(*) > 3 ORDER BY"
    " orders DESC; Explain this query step by step.",
    "for (int i = 0; i < items.size(); i++) {\n    if (items.get(i).isDone()) {\n        count++;\n    }\n}\nRewrite"
    " this loop with streams and tell me which version is faster.",
    '{"name": "Anna", "age": 34, "city": "Graz", "languages": ["German", "English"], "active": true} Turn this record'
    " into a table with one row, and add a column for the country.",
    "Können Sie mir bitte erklären, wie ich mein Passwort zurücksetzen kann? Ich habe die E-Mail nicht bekommen, obwohl"
    " ich sie schon zweimal angefordert habe.",
    "Bonjour, je voudrais changer l'adresse de livraison de ma commande. Est-ce encore possible, et combien de temps"
    " faut-il compter avant de recevoir le colis ?",
    "Hola, quiero preparar una cena para cuatro personas sin carne ni pescado. ¿Qué me recomiendas, y qué puedo cocinar"
    " el día anterior para no perder tiempo?",
    "Vorrei sapere quali documenti servono per iscrivere mia figlia alla scuola elementare e fino a quando è possibile"
    " presentare la domanda.",
    "Preciso de um resumo deste relatório em linguagem simples, com os três pontos principais e uma recomendação para"
    " a reunião de amanhã.",
    "Kun je mij helpen met een brief aan mijn huisbaas? De verwarming doet het al twee weken niet en hij neemt de"
    " telefoon niet op.",
    "Proszę napisać krótkie podsumowanie spotkania i wysłać je do wszystkich uczestników do końca dnia.",
    "Привет! Подскажите, пожалуйста, как оформить возврат товара, если упаковка уже открыта, а чек я потерял?",
    "今天天气很好，我们一起去公园散步，然后在湖边的小店里喝茶。请帮我写一首短诗，描写秋天的早晨。",
    "来週の会議の議事録を作成してください。参加者の名前と決定事項を箇条書きにして、次回の日程も書いてください。",
    "다음 주에 부산으로 여행을 가려고 합니다. 이틀 동안 볼 만한 곳과 맛있는 식당을 추천해 주세요.",
    "من فضلك اكتب لي رسالة قصيرة إلى المدير أطلب فيها إجازة لمدة ثلاثة أيام في الشهر القادم.",
)
