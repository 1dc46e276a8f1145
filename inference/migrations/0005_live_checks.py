from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("inference", "0004_routing"),
    ]

    operations = [
        migrations.RemoveField(model_name="backend", name=name)
        for name in ("healthy", "checked_at", "check_ms", "check_error")
    ]
