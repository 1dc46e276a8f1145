"""The stock Django admin: for staff, to look and not to touch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, override

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _

from console.second_factor import lacks, led_to_it, staff_must
from tenants import tenancy
from tenants.models import User

if TYPE_CHECKING:
    AnyModelAdmin = admin.ModelAdmin[Any]
else:
    AnyModelAdmin = admin.ModelAdmin  # generic for the type checker alone


class ReadOnlyAdmin(AnyModelAdmin):
    """Staff see every row, and change none: changes are services, and audited."""

    actions = None

    @override
    def has_module_permission(self, request: HttpRequest) -> bool:
        return True

    @override
    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True

    @override
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @override
    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class OperatorAdminSite(admin.AdminSite):
    """Who is logged out goes to the console's log-in; who is not staff finds nothing here."""

    site_header = site_title = _("Sluice data")
    index_title = _("All tables, read-only")
    site_url = "/operator/"

    @override
    def has_permission(self, request: HttpRequest) -> bool:
        if request.user.is_authenticated and not request.user.is_staff:
            raise Http404
        may = super().has_permission(request)
        if may and isinstance(request.user, User) and not lacks(request.user, staff_must()):
            tenancy.become(tenancy.STAFF)
            return True
        return False

    @override
    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Only read-only pages: the ones that libraries bring would write, or show tokens."""
        if admin_class is not None and issubclass(admin_class, ReadOnlyAdmin):
            super().register(model_or_iterable, admin_class, **options)

    @override
    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if led := led_to_it(request, must=staff_must()):
            return led
        if self.has_permission(request):
            return redirect("admin:index")
        return redirect_to_login(request.GET.get("next", request.get_full_path()))

    @override
    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return redirect("account_change_password")
